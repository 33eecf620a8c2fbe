"""What a training stage would make of its data and its base, seen before anything is trained."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xinglin.model.render import Template
from xinglin.train.batches import encode_samples, pack
from xinglin.types import Message, Sample

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
    in tokens.
    """

    samples: int
    dropped: int
    shortened: int
    ended: int
    targets: float
    fill: float
    longest: int


def inspect(samples: Sequence[Sample], template: Template, *, length: int) -> Inspection:
    """Look at conversations as rows of `length` tokens would hold them; nothing left to train on is a DataError."""
    encoded, dropped = encode_samples(samples, template, length=length)
    whole = {sample.id: len(template.encode(sample.messages).ids) for sample in samples}
    rows = pack([[one] for one in encoded], length=length)
    return Inspection(
        samples=len(samples),
        dropped=dropped,
        shortened=sum(whole[one.name] > len(one.ids) for one in encoded),
        ended=sum(_ends(one.ids, one.targets, template) for one in encoded),
        targets=rows.targets / rows.tokens,
        fill=rows.tokens / (len(rows.rows) * length),
        longest=max(whole.values(), default=0),
    )


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
