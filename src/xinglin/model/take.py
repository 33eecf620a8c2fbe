"""A model of somebody else's taken over as a run's base: checked from its headers, its weight files linked, not loaded.

An 8 B base is 16 GB on disk; loading it to copy it would need that much memory, and write 32 GB where weights are
opened in fp32.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, GenerationConfig, PreTrainedTokenizerBase

from xinglin import files
from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.card import CARD, content, is_adapter
from xinglin.types import Checkpoint

_INDEX = "model.safetensors.index.json"


def take(spec: str, folder: Path, *, name: str) -> tuple[int, int]:
    """Bring the model of a folder or hub id into `folder`; returns its parameters and the size of its vocabulary.

    Weights lie there as hard links where the file system allows, else as copies, in the precision they had. `name` is
    what the card says the base is. Weights that do not fit config.json are a ModelError.
    """
    source = load.local(spec)
    if is_adapter(source):
        return _loaded(spec, folder, name)
    load.check_folder(source)
    tokenizer = load.open_tokenizer(spec)
    config = load.open_config(spec)
    with load.explained(spec), torch.device("meta"):
        skeleton: Any = AutoModelForCausalLM.from_config(config)
    if not _fits(skeleton, dict(_shapes(source))):
        # Names of an older layout, which transformers maps while loading; or weights that do not fit, which it says.
        return _loaded(spec, folder, name)
    load.check_pair(skeleton, tokenizer, where=spec)
    folder.mkdir(parents=True, exist_ok=True)
    for path in _weights(source):
        _link(path, folder / path.name)
    _settle(config, source, tokenizer, folder)
    files.write_records(folder / CARD, [Checkpoint(path=".", stage="base", base=name, digest=content(folder))])
    return sum(weight.numel() for weight in skeleton.parameters()), len(tokenizer)


def _loaded(spec: str, folder: Path, name: str) -> tuple[int, int]:
    model, tokenizer = load.open_pair(spec)
    load.save(model, tokenizer, folder, stage="base", base=name)
    return sum(weight.numel() for weight in model.parameters()), len(tokenizer)


def _weights(source: Path) -> list[Path]:
    """The weight files that transformers would read, the index of several among them."""
    index = source / _INDEX
    if (source / "model.safetensors").is_file() or not index.is_file():
        return sorted(source.glob("model.safetensors"))
    try:
        named = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"this is no index of weight files: {error!r}", where=str(index), fix="download or save the model again"
        ) from None
    for name in named:
        # Opened later by this name from another folder, and no file but the model's own is anybody's to read.
        if not isinstance(name, str) or name != Path(name).name:
            raise ModelError(
                f"the index names {name!r}, which is no file beside it",
                where=str(index),
                fix="put all weight files into the model's folder, and their bare names into the index",
            )
    return [index, *(source / name for name in named)]


def _shapes(source: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Names and shapes of all weights, from the headers of their files."""
    for path in _weights(source):
        if path.suffix != ".safetensors":
            continue
        try:
            with path.open("rb") as file:
                size = int.from_bytes(file.read(8), "little")
                header = json.loads(file.read(min(size, 1 << 28)))
            found = [
                (name, tuple(about["shape"]), about["data_offsets"][1])
                for name, about in header.items()
                if name != "__metadata__"
            ]
            end = max((last for *_, last in found), default=0)
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
            raise ModelError(
                f"the weights cannot be read: {error}", where=str(path), fix="download or save the model again"
            ) from None
        yield from ((name, shape) for name, shape, _ in found)
        if path.stat().st_size != 8 + size + end:
            raise ModelError(
                f"the file has {path.stat().st_size:,} bytes, its header speaks of {8 + size + end:,}",
                where=str(path),
                fix="the file is truncated: download or copy it again",
            )


def _fits(skeleton: Any, shapes: dict[str, tuple[int, ...]]) -> bool:
    wanted = {name: tuple(weight.shape) for name, weight in skeleton.named_parameters()}
    # `named_parameters` leaves out what is tied to another; a file may hold it all the same.
    every = {name: tuple(weight.shape) for name, weight in skeleton.state_dict().items()}
    return wanted.items() <= shapes.items() and shapes.items() <= every.items()


def _link(source: Path, target: Path) -> None:
    target.unlink(missing_ok=True)
    real = source.resolve()  # the hub's cache holds symbolic links
    try:
        os.link(real, target)
    except OSError:
        with load.writing(target.parent):
            shutil.copyfile(real, target)


def _settle(config: Any, source: Path, tokenizer: PreTrainedTokenizerBase, folder: Path) -> None:
    """Write what `load.save` writes beside the weights."""
    with load.explained(str(source)), load.writing(folder):
        named = (source / "generation_config.json").is_file()
        generation: Any = (
            GenerationConfig.from_pretrained(source) if named else GenerationConfig.from_model_config(config)
        )
        load.settle_config(config, generation, tokenizer)
        config.save_pretrained(folder)
        generation.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
