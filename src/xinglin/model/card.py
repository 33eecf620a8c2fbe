"""What a folder of weights says about itself: its card, whether it is an adapter, and what tells it from others."""

from __future__ import annotations

from pathlib import Path

from xinglin import files
from xinglin.errors import ModelError
from xinglin.types import Checkpoint

CARD = "checkpoint.json"
ADAPTER = "adapter_config.json"
_END = 1 << 20


def read_card(folder: Path) -> Checkpoint:
    """The checkpoint card of a folder written by `save`; a folder without one is a ModelError."""
    path = folder / CARD
    cards = files.read_records(path, Checkpoint) if path.is_file() else []
    if not cards:
        raise ModelError(
            "this folder has no checkpoint card", where=str(path), fix="name a model that a step of a recipe has made"
        )
    return cards[0]


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model; one with pickled weights is refused."""
    if not (folder / ADAPTER).is_file():
        return False
    if not (folder / "adapter_model.safetensors").is_file():
        raise ModelError(
            "the adapter has no safetensors weights",
            where=str(folder),
            fix="save it as adapter_model.safetensors; pickled files (adapter_model.bin) are never read",
        )
    return True


def fingerprint(folder: Path) -> str:
    """What tells one base from another: the card's digest, else configuration, sizes and ends of the weight files.

    Hashing all of a 16 GB base would take a minute each time it is opened.
    """
    if (folder / CARD).is_file():
        return read_card(folder).digest
    parts = {path.name: files.digest_file(path) for path in folder.glob("*.json") if "tokenizer" not in path.name}
    for path in sorted(folder.glob("*.safetensors")):
        with path.open("rb") as file:
            start = file.read(_END)
            file.seek(max(0, path.stat().st_size - _END))
            parts[path.name] = f"{path.stat().st_size}:{files.digest_bytes(start + file.read())}"
    return files.digest_json(parts)
