"""An adapter's folder beside its base: which base it names, whether this is that base, and the two put together."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from xinglin.errors import ModelError
from xinglin.model.card import ADAPTER, CARD, fingerprint, read_card


def attach(model: PreTrainedModel, folder: Path) -> Any:
    """The model with the adapter of a folder beside it; an adapter that does not fit is a ModelError."""
    from peft import PeftModel

    try:
        return PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, KeyError) as error:
        reason = str(error).strip().splitlines()
        shape = next((line.strip() for line in reason if "size mismatch" in line), reason[0])
        raise ModelError(
            f"the adapter does not fit this base: {shape}",
            where=str(folder),
            fix="use the base it was trained on: adapter_config.json and checkpoint.json name it",
        ) from None


def base_of(folder: Path) -> str:
    """The base that an adapter's folder names: a path or a hub id."""
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card is None:
        named = json.loads((folder / ADAPTER).read_text(encoding="utf-8")).get("base_model_name_or_path")
        if not named:
            raise ModelError("the adapter names no base", where=str(folder), fix="name it with --base")
        return str(named)
    beside = folder / card.base
    return str(beside) if beside.exists() else card.base


def check_base(folder: Path, base: Path) -> None:
    """Refuse a base whose fingerprint is not the one in the adapter's card; an adapter without a card has none."""
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card and card.base_digest and fingerprint(base) != card.base_digest:
        raise ModelError(
            "this is not the base that the adapter was trained on: its files are different",
            where=f"{folder}, base {base}",
            fix="use the very base named in checkpoint.json, or train the adapter again on this one",
        )
