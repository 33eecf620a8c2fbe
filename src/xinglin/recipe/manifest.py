"""The manifest of a finished step: written last, so a folder without one is not a result."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from xinglin import files
from xinglin.errors import DataError

NAME = "manifest.json"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a step was made from and what it made.

    `inputs` are digests of steps, `sources` of files outside the run, `outputs` of the files it wrote.
    """

    recipe: str
    step: str
    do: str
    digest: str
    version: int
    config: dict[str, Any]
    inputs: dict[str, str]
    sources: dict[str, str]
    outputs: dict[str, str]
    numbers: dict[str, Any] = field(default_factory=dict)
    libraries: dict[str, str] = field(default_factory=dict)
    commit: str = ""
    started: str = ""
    seconds: float = 0.0

    def write(self, folder: Path) -> None:
        with files.atomic(folder / NAME) as file:
            file.write(files.adapter(Manifest).dump_json(self, indent=2).decode() + "\n")


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a step's folder, None where the step has not finished."""
    path = folder / NAME
    if not path.is_file():
        return None
    try:
        return files.adapter(Manifest).validate_python(files.read_json(path))
    except ValueError:
        raise DataError(
            "this is not a step's manifest", where=str(path), fix=f"remove the folder {folder}; the step runs again"
        ) from None


@dataclass(frozen=True, slots=True)
class Fault:
    """A file that is not what its manifest says."""

    path: Path
    problem: str


def verify(folder: Path) -> list[Fault]:
    """Recompute the digest of every output of one step and compare it with the manifest."""
    manifest = read_manifest(folder)
    if manifest is None:
        return [Fault(folder, "has no manifest: the step did not finish")]
    found = files.digest_folder(folder)
    faults = [Fault(folder / name, "is missing") for name in manifest.outputs if name not in found]
    for name, digest in found.items():
        if name not in manifest.outputs:
            faults.append(Fault(folder / name, "is not in the manifest"))
        elif manifest.outputs[name] != digest:
            faults.append(Fault(folder / name, "was changed after it was made"))
    return faults
