"""Near-duplicates among many texts: MinHash proposes pairs, the exact Jaccard similarity of their n-grams decides.

A text is the set of its character 3-grams; callers squeeze it first (`text.squeeze`). A gram is one number of 48 bits,
16 for each of the first 65,535 distinct characters of a collection, so that no two grams collide and the verified
similarity is exact. MinHash (Broder 1997) with banding (Indyk & Motwani
1998) comes from rensa; an estimate never counts as a duplicate (Lee et al. 2022 verify likewise).

Shapes: N texts, G distinct grams over all texts, P permutations, K candidate pairs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt
import rensa

Whole = npt.NDArray[np.int64]
Codes = npt.NDArray[np.uint64]

GRAM = 3
"""Characters of a gram: for short Chinese texts 3 separates best (a word is two characters)."""
_BITS = 16
_RARE = (1 << _BITS) - 1
"""The number of every character after the first 65,534 distinct ones; 0 stands where a short text has none."""
BANDS, ROWS = 24, 3
"""Bands of so many minima: a similarity s is proposed with probability 1 - (1 - s^3)^24, 0.959 at 0.5, 0.997 at 0.6."""
CROWD = 48
"""Members of a bucket that are paired with each other; the others of a larger one are paired with these only."""
_CHUNK = 20_000
_PAIRS = 200_000
_GRAMS = 8_000_000
_SEED = 20_240_229


@dataclass(frozen=True, slots=True)
class Grams:
    """The distinct grams of every text: text i has `codes_G[starts_N[i] : starts_N[i + 1]]`, sorted, `sizes_N[i]`."""

    codes_G: Codes
    starts_N: Whole

    sizes_N: Whole


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of texts (left < right) and their exact Jaccard similarity."""

    left_K: Whole
    right_K: Whole
    similar_K: npt.NDArray[np.float64]


class _Alphabet:
    """Numbers for characters, given in the order of their first appearance."""

    def __init__(self) -> None:
        self._numbers = np.zeros(0x110000, np.uint64)
        self._next = 1

    def encode(self, text: str) -> Codes:
        """The number of every character."""
        points = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        numbers = self._numbers[points]
        if not numbers.all():
            fresh = np.unique(points[numbers == 0])
            self._numbers[fresh] = np.minimum(np.arange(self._next, self._next + len(fresh)), _RARE)
            self._next += len(fresh)
            numbers = self._numbers[points]
        return numbers


def encode(texts: Iterable[str]) -> tuple[Grams, npt.NDArray[np.uint32]]:
    """The grams of squeezed texts and their MinHash digests (N × P), read in chunks; the grams lie in a temporary file.

    A text of fewer characters than a gram is one gram; an empty text has none and is similar to nothing.
    """
    iterator, alphabet = iter(texts), _Alphabet()
    starts, digests, total = [np.zeros(1, np.int64)], [], 0
    with tempfile.TemporaryFile() as file:
        while chunk := list(islice(iterator, _CHUNK)):
            codes, offsets = _distinct(chunk, alphabet)
            codes.tofile(file)
            starts.append(offsets[1:] + total)
            total += len(codes)
            digests.append(_digests(codes, offsets))
        file.flush()
        # The mapping keeps the file's data after the file itself is closed and gone.
        every = np.memmap(file, np.uint64, "r", shape=(total,)) if total else np.zeros(0, np.uint64)
    digests_NP = np.concatenate(digests) if digests else np.zeros((0, BANDS * ROWS), np.uint32)
    edges = np.concatenate(starts)
    return Grams(every, edges, np.diff(edges)), digests_NP


def _distinct(texts: list[str], alphabet: _Alphabet) -> tuple[Codes, Whole]:
    """The distinct grams of some texts, sorted by text and number, and where each text's begin."""
    characters = np.concatenate([alphabet.encode("".join(texts)), np.zeros(GRAM, np.uint64)])
    lengths = np.array([len(text) for text in texts], np.int64)
    counts = np.where(lengths >= GRAM, lengths - GRAM + 1, np.minimum(lengths, 1))
    owners = np.repeat(np.arange(len(texts)), counts)
    within = _ramp(counts)
    at = np.repeat(np.cumsum(lengths) - lengths, counts) + within
    keys = owners.astype(np.uint64)
    for place in range(GRAM):
        there = within + place < lengths[owners]
        keys = (keys << np.uint64(_BITS)) | np.where(there, characters[at + place], np.uint64(0))
    # One number holds text and gram (_CHUNK texts need 15 bits), so that one plain sort orders both.
    keys = np.sort(keys)
    keys = keys[np.concatenate([[True], keys[1:] != keys[:-1]])] if len(keys) else keys
    sizes = np.bincount((keys >> np.uint64(GRAM * _BITS)).astype(np.int64), minlength=len(texts))
    edges = np.concatenate([np.zeros(1, np.int64), np.cumsum(sizes)])
    return keys & np.uint64((1 << GRAM * _BITS) - 1), edges


def _digests(codes: Codes, offsets: Whole) -> npt.NDArray[np.uint32]:
    minhash: Any = rensa.RMinHash  # pyright: ignore[reportAttributeAccessIssue] - compiled, without type stubs
    matrix: Any = minhash.digest_matrix_from_flat_token_hashes(
        codes * np.uint64(0x9E3779B97F4A7C15), offsets.astype(np.uint64), BANDS * ROWS, _SEED
    )
    return np.array(matrix.to_rows(), np.uint32).reshape(len(offsets) - 1, BANDS * ROWS)


def find(grams: Grams, digests_NP: npt.NDArray[np.uint32], *, threshold: float, first: int = 0) -> Pairs:
    """Every proposed pair whose exact similarity reaches the threshold (0 < threshold ≤ 1), each once.

    With `first`, only pairs of a text before `first` with one from there on (two collections, one after the other).
    """
    kept: list[Pairs] = []
    seen = np.zeros(0, np.int64)
    count = len(digests_NP)
    for band in range(BANDS):
        keys = _keys(digests_NP[:, band * ROWS : (band + 1) * ROWS], grams.sizes_N > 0)
        fresh = list(_propose(keys, count, first))
        if not fresh:
            continue
        pairs = np.sort(np.concatenate(fresh))
        pairs = pairs[_likely(grams, digests_NP, pairs, threshold)]
        pairs = pairs[~_among(pairs, seen)]
        left, right = pairs // count, pairs % count
        similar = _jaccard(grams, left, right)
        enough = similar >= threshold
        kept.append(Pairs(left[enough], right[enough], similar[enough]))
        seen = np.sort(np.concatenate([seen, pairs]))
    if not kept:
        return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    left, right = np.concatenate([one.left_K for one in kept]), np.concatenate([one.right_K for one in kept])
    order = np.lexsort((right, left))
    return Pairs(left[order], right[order], np.concatenate([one.similar_K for one in kept])[order])


def _likely(
    grams: Grams, digests_NP: npt.NDArray[np.uint32], pairs_K: Whole, threshold: float
) -> npt.NDArray[np.bool_]:
    """Which pairs can reach the threshold, by their sizes and by the estimate plus three of its standard errors."""
    count, permutations = digests_NP.shape
    least = permutations * (threshold - 3 * np.sqrt(threshold * (1 - threshold) / permutations))
    kept = np.zeros(len(pairs_K), bool)
    for start in range(0, len(pairs_K), _PAIRS):
        left, right = np.divmod(pairs_K[start : start + _PAIRS], count)
        one, other = grams.sizes_N[left], grams.sizes_N[right]
        able = np.flatnonzero(np.minimum(one, other) >= threshold * np.maximum(one, other))
        same = np.count_nonzero(digests_NP[left[able]] == digests_NP[right[able]], axis=1)
        kept[start + able[same >= least]] = True
    return kept


def _among(values: Whole, ordered: Whole) -> npt.NDArray[np.bool_]:
    """Which values stand in a sorted array."""
    if not len(ordered):
        return np.zeros(len(values), bool)
    at = np.minimum(np.searchsorted(ordered, values), len(ordered) - 1)
    return ordered[at] == values


def _keys(band_NR: npt.NDArray[np.uint32], usable_N: npt.NDArray[np.bool_]) -> tuple[Whole, Codes]:
    """The usable texts ordered by their key in one band, and the keys."""
    keys = np.zeros(len(band_NR), np.uint64)
    for row in range(band_NR.shape[1]):
        keys = (keys ^ band_NR[:, row]) * np.uint64(0x9E3779B97F4A7C15)
        keys ^= keys >> np.uint64(29)
    texts = np.flatnonzero(usable_N)
    order = texts[np.argsort(keys[texts], kind="stable")]
    return order, keys[order]


def _propose(sorted_keys: tuple[Whole, Codes], count: int, first: int) -> Iterator[Whole]:
    """Pairs of texts in one bucket, as left * N + right, in pieces; the crowd of a large bucket meets its head only."""
    order, keys = sorted_keys
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]])) if len(keys) else np.zeros(0, np.int64)
    ends = np.append(starts[1:], len(keys))
    many = ends - starts > 1
    starts, ends = starts[many], ends[many]
    for step in range(1, CROWD):
        # Pairs of members `step` apart; buckets are sorted by text, so left < right holds.
        sizes = np.minimum(ends - starts, CROWD) - step
        wide = sizes > 0
        sizes = sizes[wide]
        base = np.repeat(starts[wide], sizes) + _ramp(sizes)
        yield from _numbered(order[base], order[base + step], count, first)
    large = ends - starts > CROWD
    for start, end in zip(starts[large], ends[large], strict=True):
        heads, tail = order[start : start + CROWD], order[start + CROWD : end]
        yield from _numbered(np.repeat(heads, len(tail)), np.tile(tail, len(heads)), count, first)


def _numbered(left: Whole, right: Whole, count: int, first: int) -> Iterator[Whole]:
    if first:
        across = (left < first) & (right >= first)
        left, right = left[across], right[across]
    if len(left):
        yield left * count + right


def _ramp(sizes: Whole) -> Whole:
    """0, 1, …, sizes[0] - 1, 0, 1, …"""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _jaccard(grams: Grams, left_K: Whole, right_K: Whole) -> npt.NDArray[np.float64]:
    """Exact similarity of every pair, in pieces of bounded size."""
    similar = np.zeros(len(left_K))
    weights = np.cumsum(grams.sizes_N[left_K] + grams.sizes_N[right_K])
    start = 0
    while start < len(left_K):
        used = weights[start - 1] if start else 0
        end = max(int(np.searchsorted(weights, used + _GRAMS, "right")), start + 1)
        end = min(end, start + (1 << 64 - GRAM * _BITS))
        similar[start:end] = _shares(grams, left_K[start:end], right_K[start:end])
        start = end
    return similar


def _shares(grams: Grams, left: Whole, right: Whole) -> npt.NDArray[np.float64]:
    sizes = grams.sizes_N
    texts = np.concatenate([left, right])
    owners = np.repeat(np.tile(np.arange(len(left), dtype=np.uint64), 2), sizes[texts])
    codes = grams.codes_G[np.repeat(grams.starts_N[texts], sizes[texts]) + _ramp(sizes[texts])]
    keys = np.sort((owners << np.uint64(GRAM * _BITS)) | codes)
    # Each side is a set, so that a gram which stands twice in a pair is shared.
    twice = keys[1:][keys[1:] == keys[:-1]]
    shared = np.bincount((twice >> np.uint64(GRAM * _BITS)).astype(np.int64), minlength=len(left))
    union = sizes[left] + sizes[right] - shared
    return shared / np.maximum(union, 1)
