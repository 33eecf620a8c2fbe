"""Run a plan: steps in order, finished ones skipped, a manifest written last, one run of a recipe at a time."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from xinglin import files
from xinglin.errors import FULL_DISK, MedError, RecipeError, full_disk
from xinglin.recipe import gate, parallel, schema
from xinglin.recipe.context import Context
from xinglin.recipe.lock import locked
from xinglin.recipe.manifest import Manifest, read_manifest
from xinglin.recipe.plan import Plan, Planned, libraries
from xinglin.recipe.steps import STEPS
from xinglin.recipe.versions import VERSIONS


class Watcher(Protocol):
    """Who is told about the progress of a run."""

    def skipped(self, step: Planned) -> None: ...
    def started(self, step: Planned) -> None: ...
    def moved(self, done: int, total: int, numbers: dict[str, float]) -> None: ...
    def finished(self, step: Planned, manifest: Manifest) -> None: ...


class Silent:
    """A watcher that says nothing."""

    def skipped(self, step: Planned) -> None:
        """A finished step was found."""

    def started(self, step: Planned) -> None:
        """A step begins."""

    def moved(self, done: int, total: int, numbers: dict[str, float]) -> None:
        """A step made progress."""

    def finished(self, step: Planned, manifest: Manifest) -> None:
        """A step is done."""


def run(plan: Plan, *, watcher: Watcher, until: str = "") -> None:
    """Run every step that is not done, up to and including `until` where it is given."""
    names = [step.name for step in plan.steps]
    if until and until not in names:
        raise RecipeError(f"there is no step {until!r}", where="--until", fix=f"steps: {', '.join(names)}")
    with locked(plan.runs / plan.recipe.name):
        for step in plan.steps:
            # Asked again under the lock: another run may have ended between the plan and now.
            if read_manifest(step.folder) is not None:
                watcher.skipped(step)
            else:
                watcher.started(step)
                watcher.finished(step, _run_step(plan, step, watcher))
            if isinstance(step.step, schema.Evaluate):
                gate.check(plan)
            if step.name == until:
                break


def _run_step(plan: Plan, step: Planned, watcher: Watcher) -> Manifest:
    version = VERSIONS[type(step.step)]
    if step.folder.exists() and not version.resumes:
        shutil.rmtree(step.folder)
    for partial in step.folder.rglob(files.PARTIAL):
        partial.unlink()
    step.folder.mkdir(parents=True, exist_ok=True)
    started, clock = datetime.now(UTC), time.monotonic()
    context = Context(folder=step.folder, plan=plan, name=step.name, seed=plan.recipe.seed, progress=watcher.moved)
    try:
        numbers = (
            parallel.train(context)
            if parallel.shares(step.step, context)
            else STEPS[type(step.step)](step.step, context)
        )
        manifest = Manifest(
            recipe=plan.recipe.name,
            step=step.name,
            do=step.step.model_dump()["do"],
            digest=step.digest,
            version=version.number,
            config=step.step.model_dump(mode="json"),
            inputs=step.inputs,
            sources=step.sources,
            outputs=files.digest_folder(step.folder),
            numbers=numbers,
            libraries=libraries() if version.weights else {},
            commit=commit(),
            started=started.isoformat(timespec="seconds"),
            seconds=round(time.monotonic() - clock, 1),
        )
        _sync(step.folder)
        manifest.write(step.folder)
    except MedError as error:
        # Stages do not know the step they serve; without a place the user would have to guess.
        error.where = error.where or f"step {step.name!r}"
        raise
    except OSError as error:
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(step.folder)) from error
        raise
    return manifest


def _sync(folder: Path) -> None:
    """Bring every output to the disk before the manifest says that it is there."""
    for path in folder.rglob("*"):
        if path.is_file():
            handle = os.open(path, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def commit() -> str:
    """The git commit of the code in use, empty where the package is not a checkout."""
    here = Path(__file__).resolve().parent
    done = subprocess.run(  # noqa: S603 - fixed arguments
        ["git", "-C", str(here), "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - git from the user's PATH
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout.strip() if done.returncode == 0 else ""


def outputs(plan: Plan) -> dict[str, Any]:
    """The digests of all artefacts of a plan's finished steps, for comparing two runs."""
    return {step.name: done.outputs for step in plan.steps if (done := read_manifest(step.folder))}
