"""Packed batches: several samples share a row, and each sees only itself.

A row is a budget of tokens that whole samples fill. The rows of a step are laid behind each other as one long row
without padding, with positions that restart at 0 in every sample; `model.attention` computes each sample as if it
stood alone. The first token of a sample is never a target, and no sample is split over two rows.

Shapes: T tokens of a batch, S samples in it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import torch

from xinglin.errors import DataError
from xinglin.model.attention import Batch, lay_out
from xinglin.model.render import Encoded, Template
from xinglin.types import BAD_ANSWER, Message, Passage, Sample

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """One packed row: token ids, labels (-100 = no target), where samples end, and what the samples are called.

    `groups` says how many samples belong together each (2 in pairs), in order; empty where each stands alone.
    """

    ids: tuple[int, ...]
    labels: tuple[int, ...]
    ends: tuple[int, ...]
    names: tuple[str, ...] = ()
    groups: tuple[int, ...] = ()

    def spans(self) -> list[tuple[int, int]]:
        """Place of the first and the last token of every sample of the row."""
        starts = [0, *(end + 1 for end in self.ends[:-1])]
        return list(zip(starts, self.ends, strict=True))


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed rows, the number of samples in them, and the samples left out: too long, or without an answer."""

    rows: list[Row]
    samples: int
    dropped: int
    tokens: int
    targets: int

    def numbers(self) -> dict[str, int]:
        """What a manifest says of them."""
        return {"samples": self.samples, "dropped": self.dropped, "tokens": self.tokens, "targets": self.targets}


def encode_samples(samples: Iterable[Sample], template: Template, *, length: int) -> tuple[list[Encoded], int]:
    """Encode conversations; one longer than `length` loses its oldest exchanges, never the end of its last answer.

    Returns the encoded samples and how many were dropped because they have no answer, have an empty one (all it would
    teach is to say nothing) or one that was judged bad, or because their last exchange alone is too long.
    """
    template.check()
    kept, dropped = [], 0
    for sample in samples:
        empty = any(message.role == "assistant" and not message.content.strip() for message in sample.messages)
        if empty or BAD_ANSWER in sample.tags:
            dropped += 1
            continue
        encoded = template.encode(sample.messages)
        shorter = sample.messages
        while len(encoded.ids) > length and (shorter := _without_oldest(shorter)):
            encoded = template.encode(shorter)
        if len(encoded.ids) > length or not any(encoded.targets[1:]):
            dropped += 1
        else:
            kept.append(replace(encoded, name=sample.id))
    return kept, dropped


def _without_oldest(messages: Sequence[Message]) -> list[Message]:
    """The conversation from its second exchange on, the system message kept; empty if no answer would be left."""
    head = [message for message in messages[:1] if message.role == "system"]
    answered = next((at for at, message in enumerate(messages) if message.role == "assistant"), len(messages))
    asked = next((at for at in range(answered, len(messages)) if messages[at].role == "user"), len(messages))
    rest = messages[asked:]
    return [*head, *rest] if any(message.role == "assistant" for message in rest) else []


def encode_passages(passages: Iterable[Passage], template: Template, *, length: int) -> list[Encoded]:
    """Encode pretraining text: every token of a text but its first is a target once, its end-of-text token too.

    A text longer than a row is continued in the next piece, whose positions start at 0 again and whose first token
    is the last one of the piece before (as context: it is no target a second time).
    """
    pieces: list[Encoded] = []
    for passage in passages:
        ids = template.document(passage.text)
        for start in range(0, len(ids) - 1, length - 1):
            part = tuple(ids[start : start + length])
            pieces.append(Encoded(part, (True,) * len(part), passage.id))
    return pieces


def pack(groups: Sequence[Sequence[Encoded]], *, length: int, dropped: int = 0) -> Rows:
    """Pack groups of encoded samples (a group stays in one row) best-fit decreasing into rows of `length` tokens."""
    sized = sorted(
        ((sum(len(one.ids) for one in group), at) for at, group in enumerate(groups)), key=lambda x: (-x[0], x[1])
    )
    space: list[int] = []
    members: list[list[int]] = []
    by_space: dict[int, list[int]] = {}
    for size, at in sized:
        if size > length:
            dropped += len(groups[at])
            continue
        room = next((left for left in range(size, length + 1) if by_space.get(left)), None)
        row = by_space[room].pop() if room is not None else len(members)
        if room is None:
            members.append([])
            space.append(length)
        members[row].append(at)
        space[row] -= size
        by_space.setdefault(space[row], []).append(row)
    rows = [_row([groups[at] for at in chosen]) for chosen in members]
    if not rows:
        raise DataError(
            "no trainable sample is left",
            fix=f"check the data (no answer, an empty one and one judged bad are not learnt), or raise `length` (now "
            f"{length} tokens a row)",
        )
    return Rows(
        rows,
        samples=sum(len(row.ends) for row in rows),
        dropped=dropped,
        tokens=sum(len(row.ids) for row in rows),
        targets=sum(label != IGNORED for row in rows for label in row.labels),
    )


def _row(groups: Sequence[Sequence[Encoded]]) -> Row:
    samples = [one for group in groups for one in group]
    ids: list[int] = []
    labels: list[int] = []
    ends: list[int] = []
    for one in samples:
        ids += one.ids
        labels += [IGNORED, *(token if on else IGNORED for token, on in zip(one.ids[1:], one.targets[1:], strict=True))]
        ends.append(len(ids) - 1)
    sizes = tuple(len(group) for group in groups)
    return Row(
        tuple(ids),
        tuple(labels),
        tuple(ends),
        names=tuple(one.name for one in samples),
        groups=sizes if max(sizes) > 1 else (),
    )


def collate(rows: Sequence[Row]) -> Batch:
    """The rows of a step behind each other as one packed row of T tokens, without padding.

    What `attention.lay_out` gives, `labels` [1, T], and the `names` and `groups` of the samples.
    """
    sequences = [row.ids[start : end + 1] for row in rows for start, end in row.spans()]
    labels_T = torch.tensor([label for row in rows for label in row.labels])
    return lay_out(sequences) | {
        "labels": labels_T[None],
        "names": tuple(name for row in rows for name in row.names),
        "groups": tuple(size for row in rows for size in row.groups),
    }


def targets(batch: Batch) -> torch.Tensor:
    """Whether each token [T] of a packed batch is a target."""
    return batch["labels"][0] != IGNORED


def segment_ids(batch: Batch) -> torch.Tensor:
    """The number of its segment for every token [T] of a packed batch."""
    lengths_S = torch.tensor(batch["segments"], device=batch["ends"].device)
    return torch.repeat_interleave(torch.arange(len(lengths_S), device=lengths_S.device), lengths_S)
