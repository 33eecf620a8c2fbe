"""Adapters put into the weights of their base, one after the other, with proof that nothing else has changed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.attached import attach, base_of, check_base
from xinglin.model.card import is_adapter

TOLERANCE = 1e-4
"""Largest difference of a logit, per unit of the largest logit, between the adapter beside its base and merged."""
_PROBE = "患者，男，45岁，反复上腹痛3年，加重1周。Check: aspirin 100 mg qd. 建议完善胃镜检查，注意饮食规律。"


def merge(adapters: Sequence[Path], folder: Path, *, base: str = "") -> float:
    """Merge adapters into their base in the given order and save the model; returns the largest relative difference.

    `base` is that of the first adapter, by default the one it names. A vocabulary larger than the base's enlarges the
    embeddings; a smaller one, a wrong base, or logits that differ by more than `TOLERANCE` are ModelErrors.
    """
    for adapter in adapters:
        if not is_adapter(adapter):
            raise ModelError(
                "this folder holds no adapter", where=str(adapter), fix="name folders with an adapter_config.json"
            )
    start = base or base_of(adapters[0])
    if not base:
        check_base(adapters[0], load.local(start))
    model = load.open_model(start, precision=torch.float32)
    worst = 0.0
    tokenizer = load.open_tokenizer(str(adapters[-1]))
    for adapter in adapters:
        _fit_vocabulary(model, load.open_tokenizer(str(adapter)), adapter)
        model, difference = _merge_one(model, tokenizer, adapter)
        worst = max(worst, difference)
    model.to(load.dtype())  # type: ignore[arg-type] - overloads of transformers
    load.save(model, tokenizer, folder, stage="merge", base=Path(start) if Path(start).exists() else start)
    return worst


def _fit_vocabulary(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: Path) -> None:
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
    if len(tokenizer) <= rows:
        return
    if not (adapter / "adapter_model.safetensors").is_file() or "embed" not in _saved_whole(adapter):
        raise ModelError(
            f"the adapter's tokenizer has {len(tokenizer)} tokens, its base has {rows}, and the adapter brings no rows",
            where=str(adapter),
            fix="use the base with the extended vocabulary that it was trained on",
        )
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)


def _saved_whole(adapter: Path) -> str:
    return (adapter / "adapter_config.json").read_text(encoding="utf-8").partition('"modules_to_save"')[2][:200]


@torch.no_grad()
def _merge_one(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, adapter: Path
) -> tuple[PreTrainedModel, float]:
    ids = torch.tensor([tokenizer.encode(_PROBE)], device=model.device)
    before = model(input_ids=ids, use_cache=False).logits
    attached = attach(model, adapter)
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
