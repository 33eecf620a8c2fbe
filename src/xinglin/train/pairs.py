"""Preference pairs as packed rows: the chosen and the rejected conversation of a pair stand next to each other.

So the segments of a batch alternate chosen, rejected, chosen, rejected …, and a pair is never split over two rows.
Shapes: S segments (samples in the batch), N target tokens, P pairs (S = 2 P).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from xinglin.errors import DataError
from xinglin.model.render import Encoded, Template
from xinglin.train.batches import Rows, pack
from xinglin.types import Message, Preference


def encode_pairs(preferences: Sequence[Preference], template: Template) -> list[list[Encoded]]:
    """Each preference as two encoded conversations, the chosen one first; targets are the answers' tokens."""
    for preference in preferences:
        if preference.chosen.strip() == preference.rejected.strip():
            raise DataError(
                "the chosen and the rejected answer are the same",
                where=preference.id,
                fix="remove this pair; nothing can be learnt from it",
            )
    return [
        [template.encode([*one.prompt, Message("assistant", answer)]) for answer in (one.chosen, one.rejected)]
        for one in preferences
    ]


def pack_pairs(preferences: Sequence[Preference], template: Template, *, length: int) -> Rows:
    """Pack pairs into rows of `length` tokens; a pair longer than a row is dropped and counted."""
    if not preferences:
        raise DataError("there are no preference pairs to train on", fix="check the steps this stage reads")
    return pack(encode_pairs(preferences, template), length=length)


def segments(batch: dict[str, torch.Tensor]) -> torch.Tensor:
    """The segment number [B, L] of every token; padding counts to the segment after the last of its row."""
    ids_BL, ends_S2 = batch["input_ids"], batch["ends"]
    marks_BL = torch.zeros_like(ids_BL)
    after = ends_S2[:, 1] + 1
    inside = after < ids_BL.shape[1]
    marks_BL[ends_S2[inside, 0], after[inside]] = 1
    first_B = torch.zeros(ids_BL.shape[0], dtype=torch.long, device=ids_BL.device)
    counts_B = torch.bincount(ends_S2[:, 0], minlength=ids_BL.shape[0])
    first_B[1:] = counts_B.cumsum(0)[:-1]
    return marks_BL.cumsum(1) + first_B[:, None]
