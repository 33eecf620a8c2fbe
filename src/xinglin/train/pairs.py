"""Preferences as packed rows: the answers to one prompt stand next to each other, the best first.

So the segments of a batch of pairs alternate chosen, rejected, chosen, rejected …, and a group is never split over two
rows. A ranking of K answers is one group of K segments: every answer is computed once, and all its K (K - 1) / 2 pairs
are compared (Ouyang et al. 2022, InstructGPT, section 3.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from xinglin.errors import DataError
from xinglin.model.attention import Batch
from xinglin.model.render import Encoded, Template
from xinglin.train.batches import Rows, pack
from xinglin.types import Message, Preference, Ranking


def answers_of(one: Preference | Ranking) -> tuple[str, ...]:
    """The answers to a prompt, the best first; two equal answers that are ranked apart are a DataError."""
    answers = (one.chosen, one.rejected) if isinstance(one, Preference) else tuple(one.answers[at] for at in one.order)
    if len({answer.strip() for answer in answers}) < len(answers):
        what = "the chosen and the rejected answer are" if isinstance(one, Preference) else "two ranked answers are"
        raise DataError(f"{what} the same", where=one.id, fix="remove this record; nothing can be learnt from it")
    return answers


def encode_group(one: Preference | Ranking, template: Template) -> list[Encoded]:
    """A preference or ranking as encoded conversations, the best first; targets are the answers' tokens."""
    return [
        replace(template.encode([*one.prompt, Message("assistant", answer)]), name=one.id) for answer in answers_of(one)
    ]


def encode_groups(
    records: Sequence[Preference | Ranking], template: Template, *, strangers: bool = False
) -> list[list[Encoded]]:
    """All pairs or rankings encoded; with `strangers` each has the best answer to another prompt behind it (KTO)."""
    groups = [encode_group(one, template) for one in records]
    if strangers:
        for at, (one, next_) in enumerate(zip(records, _strangers(records), strict=True)):
            other = answers_of(records[next_])[0]
            stranger = template.encode([*one.prompt, Message("assistant", other)])
            groups[at].append(replace(stranger, name=one.id))
    return groups


def _strangers(records: Sequence[Preference | Ranking]) -> list[int]:
    """The place of the next record with another prompt, for each: a prompt's pairs may stand next to each other."""
    count = len(records)
    found = [(at + 1) % count for at in range(count)]
    for at in [*reversed(range(count))] * 2:  # the second time for those at the end, which go on at the start
        if records[at].prompt == records[(at + 1) % count].prompt:
            found[at] = found[(at + 1) % count]
    return found


def pack_pairs(
    preferences: Sequence[Preference | Ranking], template: Template, *, length: int, strangers: bool = False
) -> Rows:
    """Pack pairs or rankings into rows of `length` tokens; a group longer than a row is dropped and counted."""
    if not preferences:
        raise DataError("there are no preference pairs to train on", fix="check the steps this stage reads")
    template.check()
    return pack(encode_groups(preferences, template, strangers=strangers), length=length)


def count_groups(batch: Batch) -> int:
    """The pairs or rankings of a batch."""
    return len(batch["groups"])
