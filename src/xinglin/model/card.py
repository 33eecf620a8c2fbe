"""What a folder of weights says about itself: its card, whether it is an adapter, and what tells it from others."""

from __future__ import annotations

import hashlib
from pathlib import Path

from xinglin import files
from xinglin.errors import ModelError
from xinglin.types import Checkpoint

CARD = "checkpoint.json"
ADAPTER = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"
_READ = (".json", ".safetensors", ".jinja", ".model", ".tiktoken")
_WHOLE, _BLOCKS, _BLOCK = 1 << 28, 512, 1 << 16


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
    if not (folder / WEIGHTS).is_file():
        raise ModelError(
            "the adapter has no safetensors weights",
            where=str(folder),
            fix=f"save it as {WEIGHTS}; pickled files (adapter_model.bin) are never read",
        )
    return True


def content(folder: Path) -> str:
    """The digest that a card has of its folder: over the files that a model is opened from, so notes may be added."""
    every = files.digest_folder(folder)
    return files.digest_json({name: digest for name, digest in every.items() if name != CARD and _is_read(name)})


def _is_read(name: str) -> bool:
    return name in ("vocab.txt", "merges.txt") or Path(name).suffix in _READ


def fingerprint(folder: Path) -> str:
    """What tells one base from another, from the files as they are: configuration and weights, not the tokenizer.

    Small weight files are hashed whole. Of one beyond `_WHOLE` bytes these count: its size, its header (names, shapes
    and types of all weights) and `_BLOCKS` blocks spread evenly over it. Hashing all of a 16 GB base would take a
    minute each time it is opened, and no training leaves all of the blocks as they were.
    """
    found = {
        path.name: files.digest_file(path) for path in (folder / "config.json", folder / ADAPTER) if path.is_file()
    }
    for path in sorted(folder.glob("*.safetensors")):
        found[path.name] = files.digest_file(path) if path.stat().st_size <= _WHOLE else _sampled(path)
    return files.digest_json(found)


def _sampled(path: Path) -> str:
    size = path.stat().st_size
    state = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        header = int.from_bytes(file.read(8), "little")
        state.update(file.read(min(header, size)))
        for at in range(_BLOCKS):
            file.seek((size - _BLOCK) * at // (_BLOCKS - 1))
            state.update(file.read(_BLOCK))
    return state.hexdigest()
