"""What a training stage would make of its data and its base, seen before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.score import token_logprobs
from xinglin.train.batches import Rows, encode_passages, encode_samples, pack
from xinglin.train.pairs import encode_groups, pack_pairs
from xinglin.types import Message, Passage, Preference, Ranking, Sample

_SENTENCE = "高血压患者应当低盐饮食，适量运动，按时服药，并定期测量血压。如果出现胸痛或者呼吸困难，请立即就医。"
_NAMED = 3
"""Dropped records that are named."""

_PROBE = (
    Message("user", "发热三天，体温38.5℃，怎么办？"),
    Message("assistant", "先看精神状态。\n\n多喝水，超过39℃请就医。"),
    Message("user", "Can I take aspirin?"),
    Message("assistant", "请先咨询医生或药师。"),
)


@dataclass(frozen=True, slots=True)
class Inspection:
    """Conversations as a stage would train them.

    `dropped`: too long, or without an answer; `shortened`: lost their oldest exchanges; `ended`: those kept whose last
    target is an end token; `targets`: share of tokens with a loss; `fill`: share of the packed rows in use; `longest`
    in tokens; `segments`: tokens of each packed sample; `lost`: ids of the first that were dropped.
    """

    samples: int
    dropped: int
    shortened: int
    ended: int
    targets: float
    fill: float
    longest: int
    segments: tuple[int, ...]
    lost: tuple[str, ...] = ()


def inspect(samples: Sequence[Sample], template: Template, *, length: int) -> Inspection:
    """Look at conversations as rows of `length` tokens would hold them; nothing left to train on is a DataError."""
    encoded, dropped = encode_samples(samples, template, length=length)
    whole = {sample.id: len(template.encode(sample.messages).ids) for sample in samples}
    kept = {one.name for one in encoded}
    rows = pack([[one] for one in encoded], length=length)
    return Inspection(
        samples=len(samples),
        dropped=dropped,
        shortened=sum(whole[one.name] > len(one.ids) for one in encoded),
        ended=sum(_ends(one.ids, one.targets, template) for one in encoded),
        targets=rows.targets / rows.tokens,
        fill=rows.tokens / (len(rows.rows) * length),
        longest=max(whole.values(), default=0),
        segments=_segments(rows),
        lost=tuple(name for name in whole if name not in kept)[:_NAMED],
    )


def inspect_groups(
    records: Sequence[Preference | Ranking], template: Template, *, length: int, strangers: bool = False
) -> Inspection:
    """Look at pairs or rankings likewise; a group that does not fit a row is dropped whole."""
    rows = pack_pairs(records, template, length=length, strangers=strangers)
    encoded = encode_groups(records, template, strangers=strangers)
    groups = {one.id: answers for one, answers in zip(records, encoded, strict=True)}
    sizes = {name: sum(len(answer.ids) for answer in answers) for name, answers in groups.items()}
    kept = {name: answers for name, answers in groups.items() if sizes[name] <= length}
    return Inspection(
        samples=len(groups),
        dropped=len(groups) - len(kept),
        shortened=0,
        ended=sum(all(_ends(one.ids, one.targets, template) for one in answers) for answers in kept.values()),
        targets=rows.targets / rows.tokens,
        fill=rows.tokens / (len(rows.rows) * length),
        longest=max(sizes.values()),
        segments=_segments(rows),
        lost=tuple(name for name in sizes if name not in kept)[:_NAMED],
    )


def inspect_texts(passages: Sequence[Passage], template: Template, *, length: int) -> Inspection:
    """Look at texts likewise: a long one goes on in another row, so only an empty one is dropped and all end."""
    pieces = encode_passages(passages, template, length=length)
    rows = pack([[piece] for piece in pieces], length=length)
    kept = {piece.name for piece in pieces}
    lost = tuple(one.id for one in passages if one.id not in kept)
    return Inspection(
        samples=len(passages),
        dropped=len(lost),
        shortened=0,
        ended=len(passages) - len(lost),
        targets=rows.targets / rows.tokens,
        fill=rows.tokens / (len(rows.rows) * length),
        longest=max(_segments(rows)),
        segments=_segments(rows),
        lost=lost[:_NAMED],
    )


def _segments(rows: Rows) -> tuple[int, ...]:
    return tuple(end - start + 1 for row in rows.rows for start, end in row.spans())


def surprise(spec: str) -> tuple[float, int]:
    """The perplexity per token that a model gives a plain Chinese sentence, and that of a blind guess."""
    model, tokenizer = load.open_pair(spec)
    ids = torch.tensor([tokenizer.encode(_SENTENCE, add_special_tokens=False)], device=model.device)
    with torch.no_grad():
        logits_TV = model.eval()(input_ids=ids, use_cache=False).logits[0, :-1]
    return math.exp(-token_logprobs(logits_TV, ids[0, 1:]).mean().item()), len(tokenizer)


def _ends(ids: Sequence[int], targets: Sequence[bool], template: Template) -> bool:
    last = max(at for at, on in enumerate(targets) if on)
    return ids[last] in template.stop_ids


def faults(config: Any, template: Template, *, rows: int) -> list[str]:
    """What does not agree between a model's configuration, its tokenizer and its chat template."""
    tokenizer: Any = template.tokenizer
    found = []
    if len(tokenizer) > rows:
        found.append(f"the tokenizer has {len(tokenizer)} tokens, the embeddings {rows} rows")
    for name in ("eos_token_id", "pad_token_id", "bos_token_id"):
        theirs, ours = getattr(config, name, None), getattr(tokenizer, name)
        known = theirs if isinstance(theirs, list) else [theirs]
        if theirs is not None and ours is not None and ours not in known:
            found.append(f"{name} is {theirs} in config.json and {ours} in the tokenizer")
    encoded = template.encode(_PROBE)
    said = tokenizer.decode([token for token, on in zip(encoded.ids, encoded.targets, strict=True) if on])
    end = tokenizer.decode([tokenizer.eos_token_id])
    wanted = "".join(message.content + end for message in _PROBE if message.role == "assistant")
    if said != wanted:
        found.append(f"the targets of a conversation read {said!r} and should read {wanted!r}")
    prompt = tuple(template.prompt(_PROBE[:3]))
    if encoded.ids[: len(prompt)] != prompt:
        found.append("a conversation in training does not begin as its prompt does in generation")
    return found
