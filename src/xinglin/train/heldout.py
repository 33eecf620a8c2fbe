"""A share of the training data set aside for measuring: whole groups, chosen by their names and the seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TypeVar

from xinglin.errors import DataError
from xinglin.types import Passage, Preference, Ranking, Sample

Record = TypeVar("Record", bound=Passage | Sample | Preference | Ranking)


def apart(train: Sequence[Record], heldout: Sequence[Record]) -> list[Record]:
    """The training records that stand on no fact or record (`origin.parents`) that one held out by another step does.

    Records of several steps are held out each by their own step: what one measures on, another may train on. Within a
    step its own rule holds: of imported pairs, held out by their prompts, three in four share a fact with a held one.
    """
    measured: dict[str, set[str]] = {}
    for record in heldout:
        for parent in record.origin.parents:
            measured.setdefault(parent, set()).add(_maker(record))
    left = [
        record
        for record in train
        if not any(measured.get(parent, set()) - {_maker(record)} for parent in record.origin.parents)
    ]
    if train and not left:
        raise DataError(
            f"each of the {len(train)} records to train on stands on a fact that another step holds out",
            fix="give data of more topics, or hold out less (`heldout` of the steps that made them)",
        )
    return left


def _maker(record: Passage | Sample | Preference | Ranking) -> str:
    return record.origin.maker.step if record.origin.maker else ""


def group_of(record: Passage | Sample | Preference | Ranking) -> str:
    """What a record stays together with: its dialogue, document or entity; else a comparison's prompt, or itself."""
    if record.origin.group:
        return record.origin.group
    return repr(record.prompt) if isinstance(record, Preference | Ranking) else record.id


def hold_out(records: Sequence[Record], *, share: float, seed: int) -> tuple[list[Record], list[Record]]:
    """The records to train on and those to measure on: of the groups at least one, where a share is wanted.

    Records of one group (`group_of`) stay together.
    """
    if not share:
        return list(records), []
    groups = {group_of(record) for record in records}
    ranked = sorted(groups, key=lambda name: hashlib.sha256(f"{seed}:{name}".encode()).digest())
    chosen = set(ranked[: max(1, round(share * len(ranked)))])
    train = [record for record in records if group_of(record) not in chosen]
    if not train:
        raise DataError(
            f"{len(groups)} group(s) of records, and none is left to train on when {share:.1%} are held out",
            fix="give data of more groups, or hold out less (`heldout` where the step has it)",
        )
    return train, [record for record in records if group_of(record) in chosen]
