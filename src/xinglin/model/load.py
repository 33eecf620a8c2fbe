"""Open and save models: a local Hugging Face folder or a hub id, safetensors only, no remote code."""

from __future__ import annotations

import errno
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as transformers_logging

from xinglin import files
from xinglin.errors import ModelError, full_disk
from xinglin.model.render import settle_template
from xinglin.types import Checkpoint

transformers_logging.set_verbosity_error()
transformers_logging.disable_progress_bar()

CARD = "checkpoint.json"
FOLDER = "model"
"""Name of the folder of a step that holds its weights."""


def device() -> torch.device:
    """The accelerator if there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def dtype() -> torch.dtype:
    """bf16 on an accelerator; fp32 on a CPU, where bf16 without AMX measured 2-3 times slower (training.md 5.2)."""
    return torch.bfloat16 if torch.cuda.is_available() else torch.float32


def check_folder(folder: Path) -> None:
    """Refuse a folder that is no model, holds pickled weights only, or wants to run its own code."""
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(
            "this folder is no model: it has no config.json",
            where=str(folder),
            fix="name a folder in Hugging Face format (config.json, model.safetensors, tokenizer.json)",
        )
    settings = _json(config)
    if "auto_map" in settings:
        raise ModelError(
            "the model wants to run its own Python code (auto_map in config.json)",
            where=str(config),
            fix="use a model whose architecture transformers knows; remote code is never run",
        )
    if not any(folder.glob("*.safetensors")):
        pickled = next(iter([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")]), None)
        what = f"only pickled weights ({pickled.name})" if pickled else "no weights"
        raise ModelError(
            f"the folder holds {what}", where=str(folder), fix="convert the weights to safetensors (model.safetensors)"
        )


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, OSError) as error:
        raise ModelError(f"not valid JSON: {error}", where=str(path), fix="download or save the model again") from None
    if not isinstance(value, dict):
        raise ModelError("not a JSON object", where=str(path), fix="download or save the model again")
    return value


@contextmanager
def _explained(spec: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        first = str(error).strip().split("\n")[0]
        local = Path(spec).exists()
        raise ModelError(
            f"the model cannot be opened: {first}",
            where=spec,
            fix="check that the folder is complete (config.json, model.safetensors, tokenizer.json)"
            if local
            else "check the spelling of the hub id and the network, or name a local folder",
        ) from None


def open_model(spec: str, *, kind: Any = AutoModelForCausalLM, **options: Any) -> PreTrainedModel:
    """Load weights from a folder or hub id onto `device()`; `kind` is the transformers auto class."""
    if _is_path(spec):
        check_folder(Path(spec))
    with _explained(spec):
        model = kind.from_pretrained(spec, trust_remote_code=False, use_safetensors=True, dtype=dtype(), **options)
    model.config.use_cache = False
    return model.to(device())


def open_tokenizer(spec: str) -> PreTrainedTokenizerBase:
    """Load a tokenizer and settle its chat template."""
    with _explained(spec):
        tokenizer = AutoTokenizer.from_pretrained(spec, trust_remote_code=False)
    settle_template(tokenizer, where=spec)
    tokenizer.padding_side = "left"
    return tokenizer


def pad_id(tokenizer: PreTrainedTokenizerBase) -> int:
    """The padding id; `settle_template` has made sure that there is one."""
    pad = tokenizer.pad_token_id
    assert isinstance(pad, int)
    return pad


def _is_path(spec: str) -> bool:
    path = Path(spec)
    if path.is_dir():
        return True
    # `a/b` can be a hub id; anything that cannot be one is meant as a path.
    if spec.startswith((".", "/", "~")) or spec.count("/") != 1:
        raise ModelError(
            "no such model folder", where=spec, fix="name an existing folder, a hub id such as Qwen/Qwen3-4B, or `tiny`"
        )
    return False


def save(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, folder: Path, *, stage: str, base: str) -> None:
    """Write weights (safetensors), configuration, tokenizer and the checkpoint's card into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    with writing(folder):
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    digest = files.digest_json(files.digest_folder(folder))
    files.write_records(folder / CARD, [Checkpoint(path=".", stage=stage, base=base, digest=digest)])


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn a full disk under safetensors' or torch's own writers into a CapError."""
    from xinglin.errors import FULL_DISK

    try:
        yield
    except OSError as error:
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(folder)) from error
        raise
    except SafetensorError as error:
        if any(f"os error {code}" in str(error) for code in FULL_DISK):
            raise full_disk(OSError(errno.ENOSPC, "No space left on device"), where=str(folder)) from error
        raise


def read_card(folder: Path) -> Checkpoint:
    """The checkpoint card of a folder written by `save`."""
    return files.read_records(folder / CARD, Checkpoint)[0]
