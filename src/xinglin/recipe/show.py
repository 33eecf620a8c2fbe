"""What can be asked of plans and finished runs: list, describe, verify, prune, trace a record to its sources."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from xinglin.errors import DataError
from xinglin.recipe.context import CHOICE, FACTS, HELDOUT, PAIRS, PASSAGES, RECALL, SAMPLES
from xinglin.recipe.lock import locked
from xinglin.recipe.manifest import NAME, Fault, Manifest, read_manifest, verify
from xinglin.recipe.plan import Plan

STEP_FOLDER = re.compile(r"[a-z][a-z0-9_]*-[0-9a-f]{12}")
_TRACED = (FACTS, PASSAGES, SAMPLES, PAIRS, HELDOUT, RECALL, CHOICE)


@dataclass(frozen=True, slots=True)
class Finished:
    """A step's folder with its manifest (None: unfinished) and its size in bytes."""

    folder: Path
    manifest: Manifest | None
    size: int


def list_runs(runs: Path) -> list[Finished]:
    """Every step folder below `runs`, by recipe and time; what is not named like one is left alone."""
    folders = [
        step
        for recipe in (sorted(runs.iterdir()) if runs.is_dir() else [])
        if recipe.is_dir()
        for step in sorted(recipe.iterdir(), key=lambda one: one.stat().st_mtime)
        if step.is_dir() and STEP_FOLDER.fullmatch(step.name)
    ]
    return [Finished(folder, read_manifest(folder), _size(folder)) for folder in folders]


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def remove(found: Sequence[Finished]) -> None:
    """Remove step folders; a recipe that is being run is an EngineError."""
    for recipe in dict.fromkeys(one.folder.parent for one in found):
        with locked(recipe):
            for one in found:
                if one.folder.parent == recipe:
                    # The manifest goes first: a removal that is interrupted leaves no folder that looks finished.
                    (one.folder / NAME).unlink(missing_ok=True)
                    shutil.rmtree(one.folder)


@dataclass(frozen=True, slots=True)
class Trace:
    """A record, the step and file it stands in, and the records it was made from."""

    id: str
    step: str
    file: Path
    record: dict[str, Any]
    parents: tuple[Trace, ...]

    def facts(self) -> list[Trace]:
        """The facts at the ends of the trace, each once."""
        if self.id.startswith("fact-"):
            return [self]
        found = {one.id: one for parent in self.parents for one in parent.facts()}
        return list(found.values())


def trace(identity: str, *, runs: Path) -> Trace:
    """Walk from a record to the facts behind it; an unknown id is a DataError."""
    index = _Index(runs)
    found = index.find(identity)
    if found is None:
        raise DataError(
            f"no finished run holds {identity!r}",
            where=str(runs),
            fix="ids look like sample-1f3a90b2c4d5 and stand in the .jsonl files of a step; check --runs",
        )
    return found


class _Index:
    """Finds records by id; files are searched newest run first, and only until the id is found."""

    def __init__(self, runs: Path) -> None:
        finished = [one for one in list_runs(runs) if one.manifest]
        self.steps = sorted(finished, key=lambda one: one.manifest.started if one.manifest else "", reverse=True)

    def find(self, identity: str) -> Trace | None:
        for step, file, record in self._lines(identity):
            if record.get("id") == identity:
                origin = record.get("origin", {})
                parents = [*origin.get("parents", ()), *record.get("facts", ())]
                traced = [self.find(parent) for parent in dict.fromkeys(parents)]
                name = step.manifest.step if step.manifest else ""
                return Trace(identity, name, file, record, tuple(one for one in traced if one))
        return None

    def _lines(self, identity: str) -> Iterator[tuple[Finished, Path, dict[str, Any]]]:
        mark = f'"id":"{identity}"'
        for step in self.steps:
            for name in _TRACED:
                path = step.folder / name
                if path.is_file():
                    with path.open(encoding="utf-8") as file:
                        for line in file:
                            if mark in line:
                                yield step, path, json.loads(line)


def from_source(source: str, *, runs: Path) -> list[tuple[str, Path]]:
    """Ids and files of every record made from a source (a file name or `pack:NAME`)."""
    found: list[tuple[str, Path]] = []
    for step in list_runs(runs):
        for name in _TRACED:
            path = step.folder / name
            if step.manifest and path.is_file():
                with path.open(encoding="utf-8") as file:
                    records = (json.loads(line) for line in file if source in line)
                    found += [(one["id"], path) for one in records if one.get("origin", {}).get("source") == source]
    return found


def lineage(traced: Trace) -> dict[str, Any]:
    """A trace as plain JSON values."""
    parents = [lineage(one) for one in traced.parents]
    place = {"id": traced.id, "step": traced.step, "file": str(traced.file)}
    return place | {"record": traced.record, "parents": parents}


def verify_below(folder: Path) -> tuple[int, list[Fault]]:
    """Check every finished step at or below a folder: how many, and what is not as its manifest says."""
    steps = [manifest.parent for manifest in sorted(folder.rglob(NAME))] if folder.is_dir() else []
    if not steps:
        raise DataError("no finished step here", where=str(folder), fix="name a folder below runs/")
    return len(steps), [fault for step in steps for fault in verify(step)]


def unused(plans: Sequence[Plan], *, runs: Path) -> list[Finished]:
    """Step folders of the plans' own recipes that none of the plans uses; other recipes' folders are left alone."""
    wanted = {step.folder.resolve() for made in plans for step in made.steps}
    names = {made.recipe.name for made in plans}
    own = (one for one in list_runs(runs) if one.folder.parent.name in names)
    return [one for one in own if one.folder.resolve() not in wanted]


def describe(made: Plan) -> dict[str, Any]:
    """A plan as plain JSON values."""
    steps = [
        {
            "step": one.name,
            "do": one.step.model_dump()["do"],
            "digest": one.digest,
            "inputs": one.inputs,
            "sources": one.sources,
            "folder": str(one.folder),
            "done": one.done,
            "seconds": one.seconds,
        }
        for one in made.steps
    ]
    return {"recipe": made.recipe.name, "base": made.recipe.base, "seed": made.recipe.seed, "steps": steps}


def describe_run(found: Finished) -> dict[str, Any]:
    """A step folder as plain JSON values."""
    manifest = asdict(found.manifest) if found.manifest else None
    return {"folder": str(found.folder), "bytes": found.size, "manifest": manifest}
