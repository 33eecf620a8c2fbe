"""An adapter's folder beside its base: which base it names, whether this is that base, and the two put together.

Nothing is taken on trust: the files are those that were saved, they hold every weight of the adapter and numbers only,
and base and vocabulary are those that it was trained with.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xinglin.errors import ModelError
from xinglin.model.card import ADAPTER, CARD, WEIGHTS, content, fingerprint, read_card

_AGAIN = "copy or train the adapter again"


def settings(folder: Path) -> dict[str, Any]:
    """The adapter's configuration; one that is not JSON, or of another kind than LoRA, is a ModelError."""
    path = folder / ADAPTER
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ModelError(f"not valid JSON: {error}", where=str(path), fix=_AGAIN) from None
    kind = found.get("peft_type") if isinstance(found, dict) else None
    if kind != "LORA":
        raise ModelError(
            f"this is an adapter of the kind {kind!r}, only LORA can be merged",
            where=str(path),
            fix="train it as LoRA, DoRA or QLoRA",
        )
    return found


def attach(model: PreTrainedModel, folder: Path) -> Any:
    """The model with the adapter of a folder beside it, and with room for the embeddings that the adapter brings.

    An adapter that does not fit the model, lacks weights, or holds what is not a number is a ModelError.
    """
    from peft import PeftModel, get_peft_model_state_dict

    check_files(folder)
    if "score" in (settings(folder).get("modules_to_save") or ()) and not hasattr(model, "score"):
        raise ModelError(
            "this is the adapter of a reward model: without its head, which scores answers, nothing of it is of use",
            where=str(folder),
            fix="name it as the reward model of reject, ppo, grpo or rloo; it is not merged and does not chat",
        )
    weights = _weights(folder)
    _enlarge(model, weights)
    try:
        attached = PeftModel.from_pretrained(model, str(folder))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        shape = next((line.strip() for line in reason if "size mismatch" in line), reason[0])
        raise ModelError(
            f"the adapter does not fit this base: {shape}",
            where=str(folder),
            fix="use the base it was trained on: adapter_config.json and checkpoint.json name it",
        ) from None
    wanted = get_peft_model_state_dict(attached, save_embedding_layers=False)
    # Embeddings may be there several times under several names, according to who has saved the adapter.
    lacking = {name for name in wanted.keys() - weights.keys() if not name.endswith("lm_head.weight")}
    unknown = {name for name in weights.keys() - wanted.keys() if ".lora_" in name}
    for problem, names in (("lacks", lacking), ("has too much:", unknown)):
        if names:
            raise ModelError(
                f"the adapter {problem} {len(names)} weights, the first is {min(names)}",
                where=str(folder / WEIGHTS),
                fix=f"{ADAPTER} and {WEIGHTS} are of different adapters, or the base is: {_AGAIN}",
            )
    _untie(model, weights)
    return attached


def _weights(folder: Path) -> dict[str, torch.Tensor]:
    path = folder / WEIGHTS
    try:
        weights = load_file(path)
    except SafetensorError as error:
        raise ModelError(f"the adapter's weights cannot be read: {error}", where=str(path), fix=_AGAIN) from None
    for name, value in weights.items():
        if not torch.isfinite(value).all():
            raise ModelError(f"{name} holds values that are not finite", where=str(path), fix=_AGAIN)
    return weights


def _enlarge(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Make room for the embeddings that an adapter with a larger vocabulary brings along."""
    module = model.get_input_embeddings()
    name = next(name for name, part in model.named_modules() if part is module).rpartition(".")[2]
    rows = [len(value) for key, value in weights.items() if key.endswith(f".{name}.weight")]
    if rows and rows[0] > module.weight.shape[0]:  # type: ignore[union-attr, operator]
        model.resize_token_embeddings(rows[0], mean_resizing=False)


def _untie(model: PreTrainedModel, weights: Mapping[str, torch.Tensor]) -> None:
    """Make two matrices of tied ones under an adapter on either: merged, what it adds to one would count for both."""
    config: Any = model.config
    ends: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    if ends[1] is None or not config.get_text_config().tie_word_embeddings:
        return
    names = [name.rpartition(".")[2] for name, part in model.named_modules() if any(part is end for end in ends)]
    if any(f".{name}.lora_" in key for name in names for key in weights):
        head = getattr(ends[1], "base_layer", ends[1])
        head.weight = torch.nn.Parameter(head.weight.detach().clone())
        config.tie_word_embeddings = config.get_text_config().tie_word_embeddings = False


def base_of(folder: Path) -> str:
    """The base that an adapter's folder names: a path or a hub id."""
    card = read_card(folder) if (folder / CARD).is_file() else None
    named = card.base if card else settings(folder).get("base_model_name_or_path")
    if not named:
        raise ModelError("the adapter names no base", where=str(folder), fix="name it with --base")
    # PEFT writes a path as it lay from where training ran; `save` as it lies from the folder, with a card or without.
    beside = folder / named
    return str(named) if not beside.exists() or (card is None and Path(named).exists()) else str(beside)


def check_files(folder: Path) -> None:
    """Refuse an adapter whose files are not those its card was written for; one without a card is as it is."""
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card and card.digest != content(folder):
        raise ModelError(
            "the adapter's files are not those that were saved: one was changed, lost or added",
            where=str(folder),
            fix=f"{_AGAIN}; for an adapter that you changed yourself remove {CARD}",
        )


def check_base(folder: Path, base: Path) -> None:
    """Refuse a base whose fingerprint is not the one in the adapter's card; an adapter without a card has none."""
    card = read_card(folder) if (folder / CARD).is_file() else None
    if card and card.base_digest and fingerprint(base) != card.base_digest:
        raise ModelError(
            "this is not the base that the adapter was trained on: its files are different",
            where=f"{folder}, base {base}",
            fix="use the very base named in checkpoint.json, or train the adapter again on this one",
        )


def check_vocabulary(own: PreTrainedTokenizerBase, base: PreTrainedTokenizerBase, *, where: str) -> None:
    """Refuse an adapter's tokenizer that gives a token of its base another id, or lacks one."""
    ids = own.get_vocab()
    for token, number in sorted(base.get_vocab().items(), key=lambda pair: pair[1]):
        if ids.get(token) != number:
            there = f"has the id {ids[token]}" if token in ids else "is missing"
            raise ModelError(
                f"the adapter's vocabulary is not its base's: {token!r}, {number} there, {there} here",
                where=where,
                fix="use the base with the vocabulary that the adapter was trained with",
            )
