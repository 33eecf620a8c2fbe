"""Packed batches: several samples share a row, and each sees only itself.

Contract (training.md 1.1): rows carry `position_ids` that restart at 0 for every sample and no attention mask;
transformers then builds a block-diagonal mask on every backend. The first token of a sample is never a target,
padding has position 0 and label -100, and no sample is split over two rows.

Shapes: B rows, L row length.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from xinglin.errors import DataError
from xinglin.model.render import Encoded, Template
from xinglin.types import Message, Passage, Sample

IGNORED = -100


@dataclass(frozen=True, slots=True)
class Row:
    """One packed row: token ids, positions within each sample, labels (-100 = no target), and where samples end."""

    ids: tuple[int, ...]
    positions: tuple[int, ...]
    labels: tuple[int, ...]
    ends: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Rows:
    """Packed rows, the number of samples in them, and the samples left out: too long, or without a target."""

    rows: list[Row]
    samples: int
    dropped: int
    tokens: int
    targets: int


def encode_samples(samples: Iterable[Sample], template: Template, *, length: int) -> tuple[list[Encoded], int]:
    """Encode conversations; one longer than `length` loses its oldest exchanges, never the end of its last answer.

    Returns the encoded samples and how many were dropped because they have no answer or because their last exchange
    alone is too long.
    """
    kept, dropped = [], 0
    for sample in samples:
        encoded = template.encode(sample.messages)
        shorter = sample.messages
        while len(encoded.ids) > length and (shorter := _without_oldest(shorter)):
            encoded = template.encode(shorter)
        if len(encoded.ids) > length or not any(encoded.targets[1:]):
            dropped += 1
        else:
            kept.append(encoded)
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
            pieces.append(Encoded(part, (True,) * len(part)))
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
    rows = [_row([one for at in chosen for one in groups[at]]) for chosen in members]
    if not rows:
        raise DataError(
            "no trainable sample is left", fix=f"check the data, or raise `length` (now {length} tokens a row)"
        )
    return Rows(
        rows,
        samples=sum(len(row.ends) for row in rows),
        dropped=dropped,
        tokens=sum(len(row.ids) for row in rows),
        targets=sum(label != IGNORED for row in rows for label in row.labels),
    )


def _row(samples: Sequence[Encoded]) -> Row:
    ids: list[int] = []
    positions: list[int] = []
    labels: list[int] = []
    ends: list[int] = []
    for one in samples:
        ids += one.ids
        positions += range(len(one.ids))
        labels += [IGNORED, *(token if on else IGNORED for token, on in zip(one.ids[1:], one.targets[1:], strict=True))]
        ends.append(len(ids) - 1)
    return Row(tuple(ids), tuple(positions), tuple(labels), tuple(ends))


def collate(rows: Sequence[Row], *, pad: int) -> dict[str, torch.Tensor]:
    """Rows as tensors: `input_ids`, `position_ids`, `labels` [B, L]; `ends` [S, 2]: row, last token."""
    length = max(len(row.ids) for row in rows)
    ids_BL = torch.full((len(rows), length), pad)
    positions_BL = torch.zeros_like(ids_BL)
    labels_BL = torch.full_like(ids_BL, IGNORED)
    for at, row in enumerate(rows):
        ids_BL[at, : len(row.ids)] = torch.tensor(row.ids)
        positions_BL[at, : len(row.ids)] = torch.tensor(row.positions)
        labels_BL[at, : len(row.ids)] = torch.tensor(row.labels)
    ends_S2 = torch.tensor([(at, end) for at, row in enumerate(rows) for end in row.ends])
    return {"input_ids": ids_BL, "position_ids": positions_BL, "labels": labels_BL, "ends": ends_S2}
