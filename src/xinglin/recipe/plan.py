"""What a recipe would do: every step with its inputs, digest, folder, whether it is done, and how long it may take.

Digest of a step = its configuration + the digests of its inputs and source files + the seed + its VERSION
(+ for weights the minor versions of torch and transformers). The git commit is recorded in manifests, not hashed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

from xinglin import files
from xinglin.errors import DataError, ModelError
from xinglin.knowledge.sources import PACKS
from xinglin.recipe import schema
from xinglin.recipe.manifest import read_manifest
from xinglin.recipe.versions import VERSIONS
from xinglin.text import is_hub_id

# Files larger than this count by name, size and time of change: hashing a 16 GB base for every plan takes a minute.
HASHED = 64 << 20


@dataclass(frozen=True, slots=True)
class Planned:
    """One step of a plan; `seconds` is an estimate, None where there is nothing to estimate from."""

    name: str
    step: schema.Step
    digest: str
    inputs: dict[str, str]
    sources: dict[str, str]
    folder: Path
    done: bool
    seconds: float | None


@dataclass(frozen=True, slots=True)
class Plan:
    """All steps of a recipe in order."""

    recipe: schema.Recipe
    root: Path
    runs: Path
    steps: tuple[Planned, ...]

    def folder(self, name: str) -> Path:
        """The folder of a step."""
        return next(step.folder for step in self.steps if step.name == name)

    def behind(self, name: str) -> set[str]:
        """The names of all steps that a step reads, directly or through others."""
        found = {name}
        for step in reversed(self.steps):
            if step.name in found:
                found.update(step.inputs)
        return found - {name}

    def parent(self, name: str) -> str:
        """The model that a model was trained from, empty for the base."""
        step = next(step.step for step in self.steps if step.name == name)
        return getattr(step, "model", "") if not isinstance(step, schema.Base) else ""


def plan(recipe: schema.Recipe, *, root: Path, runs: Path) -> Plan:
    """Plan a recipe: relative paths lie below `root`, results below `runs`/<recipe>/."""
    steps: dict[str, schema.Step] = {}
    text = [name for name, nouns in schema.made(recipe).items() if "text" in nouns]
    for name, step in recipe.steps.items():
        steps[name] = step
    ordered = _with_base(recipe, steps, text)
    planned: dict[str, Planned] = {}
    for name, step in ordered.items():
        planned[name] = _plan_step(name, step, planned, recipe=recipe, root=root, runs=runs)
    return Plan(recipe, root, runs, tuple(planned.values()))


def _with_base(recipe: schema.Recipe, steps: Mapping[str, schema.Step], text: list[str]) -> dict[str, schema.Step]:
    """The steps with the implicit `base` put before the first step that reads it."""
    tiny = recipe.base == "tiny"
    base = schema.Base(model=recipe.base, text=text if tiny else [])
    ordered: dict[str, schema.Step] = {}
    used = False
    for name, step in steps.items():
        reads = {target for _, _, target in schema.references(step)}
        if "base" in reads and not used:
            used = True
            missing = [one for one in base.text if one not in ordered]
            if missing:
                base = base.model_copy(update={"text": [one for one in base.text if one in ordered]})
            ordered["base"] = base
        ordered[name] = step
    return ordered


def _plan_step(
    name: str, step: schema.Step, before: Mapping[str, Planned], *, recipe: schema.Recipe, root: Path, runs: Path
) -> Planned:
    version = VERSIONS[type(step)]
    inputs = {target: before[target].digest for _, _, target in schema.references(step)}
    sources = _sources(step, root)
    identity = {
        "config": step.model_dump(mode="json"),
        "inputs": inputs,
        "sources": sources,
        "seed": recipe.seed,
        "version": version.number,
        "libraries": libraries() if version.weights else {},
    }
    digest = files.digest_json(identity)
    folder = runs / recipe.name / f"{name}-{digest[:12]}"
    done = read_manifest(folder) is not None
    seconds = 0.0 if done else _estimate(name, step, recipe, runs)
    return Planned(name, step, digest, inputs, sources, folder, done, seconds)


@cache
def libraries() -> dict[str, str]:
    """Minor versions of the libraries that weights depend on."""
    return {name: ".".join(metadata.version(name).split(".")[:2]) for name in ("torch", "transformers")}


def _sources(step: schema.Step, root: Path) -> dict[str, str]:
    """Digests of the files outside the run that a step reads."""
    found: dict[str, str] = {}
    if isinstance(step, schema.KnowledgeStep):
        for source in step.sources:
            name = source.removeprefix("pack:")
            path = PACKS / name if name != source else root / source
            found[source] = _digest(path, source)
    elif isinstance(step, schema.Evaluate):
        if step.indications:
            found[step.indications] = _digest(root / step.indications, step.indications)
        if "general" in step.tasks:
            found["pack:general"] = _digest(PACKS / "general", "pack:general")
    elif isinstance(step, schema.Import | schema.Decontaminate):
        paths = step.input if isinstance(step, schema.Import) else step.against
        found |= {path: _digest(root / path, path) for path in paths}
    elif isinstance(step, schema.Base) and step.model != "tiny":
        folder = next((one for one in (root / step.model, Path(step.model)) if one.is_dir()), None)
        if folder:
            found[step.model] = _digest(folder, step.model)
        elif not is_hub_id(step.model) or (root / step.model).is_file() or Path(step.model).is_file():
            raise ModelError(
                "no such model folder",
                where=f"base: {step.model}",
                fix=f"name a folder below {root} or here, a hub id such as Qwen/Qwen3-4B, or `tiny`",
            )
    if isinstance(step, schema.Select | schema.Statements | schema.Templates | schema.PairsStep):
        found["patterns"] = files.digest_file(PACKS / "patterns.yaml")
    return found


def _digest(path: Path, name: str) -> str:
    if path.is_dir():
        parts = {}
        for one in sorted(path.rglob("*")):
            if one.is_file() and not any(part.startswith(".") for part in one.relative_to(path).parts):
                stat = one.stat()
                large = stat.st_size > HASHED
                parts[str(one.relative_to(path))] = (
                    f"{stat.st_size}:{stat.st_mtime_ns}" if large else files.digest_file(one)
                )
        return files.digest_json(parts)
    if name.startswith("pack:"):
        packs = sorted(one.name for one in PACKS.iterdir() if one.is_dir())
        raise DataError("there is no such pack", where=name, fix=f"packs: {', '.join(packs)}")
    return files.digest_file(path)


def _estimate(name: str, step: schema.Step, recipe: schema.Recipe, runs: Path) -> float | None:
    """Seconds from the last run of this step of the recipe, else the typical value for the tiny model."""
    folders = sorted((runs / recipe.name).glob(f"{name}-*"), key=lambda one: one.stat().st_mtime, reverse=True)
    for folder in folders:
        manifest = read_manifest(folder)
        if manifest:
            return manifest.seconds
    return VERSIONS[type(step)].seconds if recipe.base == "tiny" else None
