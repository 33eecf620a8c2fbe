"""A share of the training data set aside for measuring: whole groups, chosen by their names and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from xinglin.errors import DataError
from xinglin.types import Passage, Preference, Ranking, Sample

Record = TypeVar("Record", Passage, Sample, Preference, Ranking)


def hold_out(records: Sequence[Record], *, share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """The records to train on and those to measure on.

    Records of one group (a dialogue, document or entity; else the record itself) stay together, and a group is on the
    same side whatever else the data holds.
    """
    train: list[Record] = []
    kept: list[Record] = []
    for record in records:
        name = record.origin.group or record.id
        draw = int.from_bytes(hashlib.sha256(f"{seed}:{name}".encode()).digest()[:8]) / 2**64
        (kept if draw < share else train).append(record)
    if share and not (kept and train):
        raise DataError(
            f"a share of {share} of {len(records)} records leaves nothing on one side",
            fix="raise or lower `heldout`, or give more data",
        )
    return train, kept
