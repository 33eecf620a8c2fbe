"""Contamination: which evaluation items stand in the training records, whole, edited or wrapped in other text.

Two looks, either of which is enough. Containment: the share of an item's 13-character grams that one training record
holds (Brown et al. 2020 use 13-grams of words); it finds items wrapped in longer text. Similarity: the exact Jaccard
similarity of 3-grams (`near`); it finds edited ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import numpy.typing as npt

from xinglin.data import near
from xinglin.data.dedup import text_of
from xinglin.formats.row import Record
from xinglin.text import squeeze

GRAM = 13
"""Characters of a gram, blanks and marks left out."""
CONTAINED = 0.3
"""Share of an item's grams in one training record that makes a hit; with one character in thirty changed, two thirds
of them are still whole."""
COMMON = 3
"""A gram that stands in so many items of one set is its manner of asking (下列叙述错误的是) and counts for nothing."""
SIMILAR = 0.5
_CHUNK = 5_000
_BASE = 1_099_511_628_211


@dataclass(frozen=True, slots=True)
class Item:
    """An evaluation item: the set it belongs to, its id and the text that must not be trained on."""

    source: str
    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Hit:
    """An item found in a training record (its place and id), how, and how much of it."""

    source: str
    item: str
    train_at: int
    train: str
    kind: str
    share: float


@dataclass(frozen=True, slots=True)
class Overlap:
    """The hits, and how many items each evaluation set and how many records the training data has."""

    hits: tuple[Hit, ...]
    items: dict[str, int]
    records: int

    @property
    def contaminated(self) -> dict[str, int]:
        """The items of every evaluation set that were found at least once."""
        found = Counter(source for source, _ in {(hit.source, hit.item) for hit in self.hits})
        return {source: found[source] for source in self.items}


def items_of(source: str, records: Iterable[Record]) -> list[Item]:
    """The items of an evaluation set: what is asked, or the whole record where that is short."""
    found = []
    for record in records:
        asked = text_of(record, "prompt")
        text = asked if len(squeeze(asked)) >= GRAM else text_of(record)
        found.append(Item(source, record.id, text))
    return found


def overlap(
    train: Callable[[], Iterator[Record]],
    against: Sequence[Item],
    *,
    progress: Callable[[int], None] | None = None,
) -> Overlap:
    """Hits of evaluation items in training records; `train` starts a new pass over the records, two are made."""
    hits, records = [], 0
    index = _Index(against)
    for start, chunk in _chunks(train()):
        hits += index.look(chunk, start)
        records += len(chunk)
        if progress:
            progress(records)
    hits += _similar(train(), against, {(hit.item, hit.source, hit.train_at) for hit in hits})
    hits.sort(key=lambda hit: (hit.source, hit.item, -hit.share, hit.train_at))
    return Overlap(tuple(hits), dict(Counter(item.source for item in against)), records)


def _chunks(records: Iterator[Record]) -> Iterator[tuple[int, list[Record]]]:
    start = 0
    while chunk := list(islice(records, _CHUNK)):
        yield start, chunk
        start += len(chunk)


class _Index:
    """The grams of all items by hash, without those that are common in their set."""

    def __init__(self, items: Sequence[Item]) -> None:
        self.items = items
        hashes, owners = _grams([squeeze(item.text) for item in items])
        pairs = np.unique(np.stack([hashes, owners.astype(np.uint64)]), axis=1) if len(hashes) else np.zeros((2, 0))
        hashes, owners = pairs[0].astype(np.uint64), pairs[1].astype(np.int64)
        sets = {source: number for number, source in enumerate(dict.fromkeys(item.source for item in items))}
        of = np.array([sets[item.source] for item in items], np.int64)[owners] if len(owners) else owners
        keep = ~_common(hashes, of)
        self.hashes, self.owners = hashes[keep], owners[keep]
        self.sizes = np.bincount(self.owners, minlength=len(items))

    def look(self, records: Sequence[Record], start: int) -> list[Hit]:
        """The items contained in some training records; `start` is the first record's place."""
        if not len(self.hashes):
            return []
        hashes, places = _grams([squeeze(text_of(record)) for record in records])
        at = np.searchsorted(self.hashes, hashes)
        there = (at < len(self.hashes)) & (self.hashes[np.minimum(at, len(self.hashes) - 1)] == hashes)
        found: set[tuple[int, int, int]] = set()
        ends = np.searchsorted(self.hashes, hashes[there], "right")
        for first, end, place in zip(at[there].tolist(), ends.tolist(), places[there].tolist(), strict=True):
            found.update((int(self.owners[one]), place, one) for one in range(first, end))
        counts = Counter((owner, place) for owner, place, _ in found)
        return [
            Hit(item.source, item.id, start + place, records[place].id, "contained", round(share, 4))
            for (owner, place), count in counts.items()
            if (share := count / self.sizes[owner]) >= CONTAINED
            for item in [self.items[owner]]
        ]


def _common(hashes: npt.NDArray[np.uint64], sets: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Which grams stand in at least COMMON items of their set; each (gram, item) is there once, sorted by gram."""
    counts: Counter[tuple[int, int]] = Counter(zip(hashes.tolist(), sets.tolist(), strict=True))
    pairs = zip(hashes.tolist(), sets.tolist(), strict=True)
    return np.array([counts[pair] >= COMMON for pair in pairs], bool)


def _grams(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """The hash of every gram of every text, and which text it is of; texts shorter than a gram have none."""
    points = np.frombuffer("".join(texts).encode("utf-32-le"), np.uint32).astype(np.uint64)
    lengths = np.array([len(text) for text in texts], np.int64)
    counts = np.maximum(lengths - GRAM + 1, 0)
    owners = np.repeat(np.arange(len(texts)), counts)
    begins = np.repeat(np.cumsum(lengths) - lengths, counts)
    at = begins + np.arange(len(owners)) - np.repeat(np.cumsum(counts) - counts, counts)
    hashes = np.zeros(len(at), np.uint64)
    for place in range(GRAM):
        hashes = (hashes ^ points[at + place]) * np.uint64(_BASE)
        hashes ^= hashes >> np.uint64(32)
    return hashes, owners


def _similar(train: Iterator[Record], items: Sequence[Item], known: set[tuple[str, str, int]]) -> Iterator[Hit]:
    ids: list[str] = []

    def texts() -> Iterator[str]:
        yield from (squeeze(item.text) for item in items)
        for record in train:
            ids.append(record.id)
            asked = text_of(record, "prompt")
            plain = squeeze(asked)
            yield plain if len(plain) >= GRAM else squeeze(text_of(record))

    grams, digests = near.encode(texts())
    pairs = near.find(grams, digests, threshold=SIMILAR, first=len(items))
    for left, right, share in zip(pairs.left_K.tolist(), pairs.right_K.tolist(), pairs.similar_K.tolist(), strict=True):
        item, place = items[left], right - len(items)
        if (item.id, item.source, place) not in known:
            yield Hit(item.source, item.id, place, ids[place], "similar", round(share, 4))
