"""A share of the training data set aside for measuring: whole groups, chosen by their names and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from xinglin.errors import DataError
from xinglin.types import Passage, Preference, Ranking, Sample

Record = TypeVar("Record", Passage, Sample, Preference, Ranking)


def apart(train: Sequence[Preference | Ranking], heldout: Sequence[Preference | Ranking]) -> list[Preference | Ranking]:
    """The comparisons to train on that share no fact or record (`origin.parents`) with one that is measured on.

    Every step holds out some of its own: where several are mixed, what one measures on another would train on.
    """
    measured = {parent for record in heldout for parent in record.origin.parents}
    return [record for record in train if measured.isdisjoint(record.origin.parents)]


def hold_out(records: Sequence[Record], *, share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """The records to train on and those to measure on: of the groups at least one, where a share is wanted.

    Records of one group (a dialogue, document or entity; else the record itself) stay together.
    """
    if not share:
        return list(records), []
    groups = {record.origin.group or record.id for record in records}
    ranked = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    chosen = set(ranked[: max(1, round(share * len(ranked)))])
    train = [record for record in records if (record.origin.group or record.id) not in chosen]
    if not train:
        raise DataError(
            f"{len(groups)} group(s) of records, and none is left to train on when {share:.1%} are held out",
            fix="give data of more groups, or hold out less (`heldout` where the step has it)",
        )
    return train, [record for record in records if (record.origin.group or record.id) in chosen]
