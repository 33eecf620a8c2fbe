"""Adapters put into the weights of their base, one after the other, with proof that nothing else has changed."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.attached import attach, base_of, check_base, check_vocabulary
from xinglin.model.card import CARD, fingerprint, is_adapter, read_card
from xinglin.text import is_hub_id

TOLERANCE = 1e-4
"""Largest difference of a logit, per unit of the largest logit, between the adapter beside its base and merged."""
_PROBE = "患者，男，45岁，反复上腹痛3年，加重1周。Check: aspirin 100 mg qd. 建议完善胃镜检查，注意饮食规律。"


def merge(adapters: Sequence[Path], folder: Path, *, base: str = "") -> float:
    """Merge adapters into their base in the given order and save the model; returns the largest relative difference.

    `base` is that of the first adapter, by default the one it names. Embeddings that an adapter brings along enlarge
    the base's. A wrong base, a wrong order, another vocabulary, an adapter that lacks weights or changes nothing, and
    logits that differ by more than `TOLERANCE` are ModelErrors.
    """
    for adapter in adapters:
        if not is_adapter(adapter):
            raise ModelError(
                "this folder holds no adapter", where=str(adapter), fix="name folders with an adapter_config.json"
            )
    start = base or base_of(adapters[0])
    if not base and not Path(start).is_dir() and not is_hub_id(start):
        raise ModelError(
            f"the base that the adapter names is not there: {start}",
            where=str(adapters[0]),
            fix="name it with --base; it must be the very base that the adapter was trained on",
        )
    check_base(adapters[0], load.local(start))
    _check_order(adapters)
    tokenizer = load.open_tokenizer(start)
    model = load.open_model(start, precision=torch.float32)
    worst = 0.0
    for adapter in adapters:
        if load.has_tokenizer(adapter):
            below, tokenizer = tokenizer, load.open_tokenizer(str(adapter))
            check_vocabulary(tokenizer, below, where=str(adapter))
        model, difference = _merge_one(model, tokenizer, adapter)
        worst = max(worst, difference)
    model.to(load.dtype())  # type: ignore[arg-type] - overloads of transformers
    load.save(model, tokenizer, folder, stage="merge", base=Path(start) if Path(start).exists() else start)
    return worst


def _check_order(adapters: Sequence[Path]) -> None:
    """Refuse an adapter that was not trained on the one before it; one without a card has nothing to say."""
    for below, above in pairwise(adapters):
        card = read_card(above) if (above / CARD).is_file() else None
        if card and card.base_digest and card.base_digest != fingerprint(below):
            raise ModelError(
                f"this adapter was not trained on top of {below}",
                where=str(above),
                fix="name the adapters from the lowest to the highest; what was trained on a merged model is merged "
                "into that one",
            )


@torch.no_grad()
def _merge_one(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: Path
) -> tuple[PreTrainedModel, float]:
    attached = attach(model, adapter)
    load.check_pair(attached, tokenizer, where=str(adapter))
    ids = torch.tensor([tokenizer.encode(_PROBE)], device=attached.device)
    with attached.disable_adapter():
        before = attached(input_ids=ids, use_cache=False).logits
    beside = attached(input_ids=ids, use_cache=False).logits
    merged = attached.merge_and_unload()
    after = merged(input_ids=ids, use_cache=False).logits
    scale = max(1.0, beside.abs().max().item())
    difference = (after - beside).abs().max().item() / scale
    if difference > TOLERANCE:
        raise ModelError(
            f"merging changes the logits by {difference:.2g} of the largest (at most {TOLERANCE} is rounding)",
            where=str(adapter),
            fix="merge in full precision on a base that is not quantised",
        )
    if torch.equal(after, before):
        raise ModelError(
            "the adapter changes nothing: all its weights are zero",
            where=str(adapter),
            fix="check that this is the trained adapter and not its first checkpoint",
        )
    return merged, difference
