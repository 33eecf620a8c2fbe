"""A larger vocabulary: new pieces learnt from medical text, old ids and old segmentations unchanged.

Byte-pair training is taken up where the base's own merges end: the text is segmented by the base's tokenizer, and the
most frequent neighbours are merged, again and again. New merges rank after all old ones, so whatever the base could
merge is merged as before, and only what is left over meets the new pieces (docs/decisions/001.md says why they are
merges and no added tokens). A new embedding starts as the mean of those of the old pieces it is made of.
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import PreTrainedModel, PreTrainedTokenizerBase

from xinglin.errors import DataError, ModelError
from xinglin.model import load

LONGEST = 8
"""Characters of a piece: longer words are sentences that a text repeats."""
_RAREST = 3
"""Occurrences that a piece must have."""
_BUDGET = 6_000_000
"""Characters that are learnt from: of more text, a sample of its paragraphs (about 2 GB of memory at most)."""
_HELDOUT = 20
"""One paragraph in so many is kept for measuring."""


@dataclass(frozen=True, slots=True)
class Extension:
    """What a vocabulary was and has become.

    `compression` is in characters per token on `heldout` characters of text that was not learnt from; `used` is the
    share of new tokens among that text's tokens; `rows` counts the rows of the embeddings, padding included.
    """

    before: int
    added: int
    rows: int
    heldout: int
    compression_before: float
    compression_after: float
    used: float
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Merge:
    """Two pieces that become one, and the old pieces that the new one is made of."""

    left: str
    right: str
    parts: tuple[int, ...]


def extend(
    base: Path | str, texts: Iterable[str], folder: Path, *, pieces: int, multiple: int = 64, seed: int = 0
) -> Extension:
    """Add at most `pieces` tokens to the model at `base` and save it into `folder`."""
    model, tokenizer = load.open_pair(str(base), precision=None)
    train, heldout = _share_out(texts, seed)
    if not train:
        raise DataError("there is no text to learn pieces from", where=str(base), fix="name steps or files with text")
    before = len(tokenizer)
    length = _tokens(tokenizer, heldout)
    merges = learn(tokenizer, train, pieces=pieces)
    if not merges:
        raise DataError(
            "the text has no frequent words that the vocabulary lacks",
            where=str(base),
            fix="give more Chinese text, or leave the vocabulary as it is",
        )
    ids = _append(tokenizer, merges)
    rows = _grow(model, merges, ids, multiple=multiple)
    load.save(model, tokenizer, folder, stage="vocab", base=base)
    encoded = [token for text in heldout for token in tokenizer.encode(text, add_special_tokens=False)]
    characters = sum(map(len, heldout))
    return Extension(
        before=before,
        added=len(merges),
        rows=rows,
        heldout=characters,
        compression_before=characters / max(length, 1),
        compression_after=characters / max(len(encoded), 1),
        used=sum(token >= ids[0] for token in encoded) / max(len(encoded), 1),
        examples=tuple(text for one in ids if len(text := str(tokenizer.decode([one]))) > 1)[:40],
    )


def _tokens(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str]) -> int:
    return sum(len(tokenizer.encode(text, add_special_tokens=False)) for text in texts)


def _share_out(texts: Iterable[str], seed: int) -> tuple[list[str], list[str]]:
    """Paragraphs to learn from, at most `_BUDGET` characters, and others to measure on.

    A paragraph's hash decides. When the budget is used up, half of what was kept is let go and half as much is taken
    from then on, so the sample is even over a text of any length.
    """
    kept: dict[int, str] = {}
    heldout: list[str] = []
    limit, size, measured = 1 << 64, 0, 0
    for text in texts:
        for paragraph in text.splitlines():
            if not paragraph.strip():
                continue
            draw = int.from_bytes(hashlib.sha256(f"{seed}:{paragraph}".encode()).digest()[:8])
            if draw % _HELDOUT == 0:
                if measured < _BUDGET // _HELDOUT:
                    heldout.append(paragraph)
                    measured += len(paragraph)
            elif draw < limit and draw not in kept:
                kept[draw] = paragraph
                size += len(paragraph)
            while size > _BUDGET:
                limit //= 2
                kept = {one: text for one, text in kept.items() if one < limit}
                size = sum(map(len, kept.values()))
    return list(kept.values()), heldout


def learn(tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], *, pieces: int) -> list[Merge]:
    """At most `pieces` merges over the base's own segmentation, the most frequent first."""
    backend = _backend(tokenizer)
    words = Counter(word for text in texts for word in _words(backend, text))
    known = tokenizer.get_vocab()
    chain = _Chain(words, known)
    merges: list[Merge] = []
    parts: dict[str, tuple[int, ...]] = {}
    while len(merges) < pieces and (pair := chain.most_frequent()):
        left, right = pair
        made = left + right
        if made not in known and made not in parts:
            whole = (*parts.get(left, (known.get(left, -1),)), *parts.get(right, (known.get(right, -1),)))
            assert -1 not in whole
            parts[made] = whole
            merges.append(Merge(left, right, whole))
        chain.merge(left, right)
    return merges


def _backend(tokenizer: Any) -> Tokenizer:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None or json.loads(backend.to_str())["model"]["type"] != "BPE":
        raise ModelError(
            "this tokenizer is no byte-pair encoding, and its vocabulary cannot be extended",
            where=type(tokenizer).__name__,
            fix="use a base with a BPE tokenizer (Qwen, Llama, Mistral, GLM …)",
        )
    return backend


def _words(backend: Tokenizer, text: str) -> list[tuple[str, ...]]:
    """The pieces of every pre-token of a text: merges do not reach over the borders between pre-tokens."""
    encoding = backend.encode(text, add_special_tokens=False)
    words: list[list[str]] = []
    last: int | None = None
    for piece, word in zip(encoding.tokens, encoding.word_ids, strict=True):
        if word != last or not words:
            words.append([])
            last = word
        words[-1].append(piece)
    return [tuple(word) for word in words if len(word) > 1]


class _Chain:
    """Words as sequences of pieces, with the count of every pair of neighbours kept up to date."""

    def __init__(self, words: Counter[tuple[str, ...]], known: dict[str, int]) -> None:
        self.words = [list(word) for word in words]
        self.counts = list(words.values())
        self.known = known
        self.pairs: Counter[tuple[str, str]] = Counter()
        self.where: dict[tuple[str, str], set[int]] = {}
        self.fine: dict[str, bool] = {}
        for at, word in enumerate(self.words):
            for pair in pairwise(word):
                self._add(pair, at)
        self.heap = [(-count, pair) for pair, count in self.pairs.items() if count >= _RAREST]
        heapq.heapify(self.heap)

    def _add(self, pair: tuple[str, str], at: int) -> None:
        self.pairs[pair] += self.counts[at]
        self.where.setdefault(pair, set()).add(at)

    def most_frequent(self) -> tuple[str, str] | None:
        """The most frequent pair that makes a piece worth having; ties go to the first in order."""
        while self.heap:
            count, pair = heapq.heappop(self.heap)
            if -count != self.pairs.get(pair, 0):
                if self.pairs.get(pair, 0) >= _RAREST:
                    heapq.heappush(self.heap, (-self.pairs[pair], pair))
                continue
            made = pair[0] + pair[1]
            if made not in self.fine:
                self.fine[made] = _worth_having(made)
            if self.fine[made]:
                return pair
        return None

    def merge(self, left: str, right: str) -> None:
        """Make one piece of two wherever they are neighbours."""
        made = left + right
        changed: set[tuple[str, str]] = set()
        for at in self.where.pop((left, right), ()):
            before = self.words[at]
            after: list[str] = []
            place = 0
            while place < len(before):
                hit = place + 1 < len(before) and before[place] == left and before[place + 1] == right
                after.append(made if hit else before[place])
                place += 2 if hit else 1
            for pair in pairwise(before):
                self.pairs[pair] -= self.counts[at]
            self.words[at] = after
            for pair in pairwise(after):
                self._add(pair, at)
                changed.add(pair)
        del self.pairs[left, right]
        for pair in changed:
            if self.pairs[pair] >= _RAREST:
                heapq.heappush(self.heap, (-self.pairs[pair], pair))


def _byte_letters() -> dict[str, int]:
    """The letters by which byte-level BPE writes bytes (GPT-2's table)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(rest)}


_BYTES = _byte_letters()


def _worth_having(piece: str) -> bool:
    """Whether a piece is a Chinese word of at most `LONGEST` characters, or part of one Chinese character."""
    if all("\u3400" <= letter <= "\u9fff" for letter in piece):
        return len(piece) <= LONGEST
    if any(letter not in _BYTES for letter in piece):
        return False
    data = bytes(_BYTES[letter] for letter in piece)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        # The first bytes of one character: they come together before the character does.
        return 1 < len(data) < 3 and 0xE3 <= data[0] <= 0xE9 and all(0x80 <= byte < 0xC0 for byte in data[1:])
    return len(text) <= LONGEST and all("\u3400" <= letter <= "\u9fff" for letter in text)


def _append(tokenizer: Any, merges: Sequence[Merge]) -> list[int]:
    """Write the merges into the tokenizer; returns the ids of the new pieces, which follow the old ones."""
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    first = max(tokenizer.get_vocab().values()) + 1
    # Added tokens without a place in the vocabulary (Qwen, Llama 3) are numbered behind it whenever the file is opened,
    # whatever id stands there: behind a longer vocabulary they would take the ids of the last new pieces.
    vocabulary = content["model"]["vocab"] | tokenizer.get_added_vocab()
    content["model"]["vocab"] = vocabulary
    for at, merge in enumerate(merges):
        vocabulary[merge.left + merge.right] = first + at
    content["model"]["merges"] += [[merge.left, merge.right] for merge in merges]
    tokenizer._tokenizer = Tokenizer.from_str(json.dumps(content, ensure_ascii=False))
    return list(range(first, first + len(merges)))


@torch.no_grad()
def _grow(model: PreTrainedModel, merges: Sequence[Merge], ids: Sequence[int], *, multiple: int) -> int:
    """Give the new pieces their rows, each the mean of its parts'; returns how many rows there are."""
    embeddings: Any = model.get_input_embeddings()
    rows = max(embeddings.weight.shape[0], -(-(ids[-1] + 1) // multiple) * multiple)
    if rows > embeddings.weight.shape[0]:
        model.resize_token_embeddings(rows, mean_resizing=False)
    heads: list[Any] = [model.get_input_embeddings(), model.get_output_embeddings()]
    weights = [getattr(head, name, None) for head in heads for name in ("weight", "bias")]
    for weight in {id(weight): weight for weight in weights if weight is not None}.values():
        for merge, new in zip(merges, ids, strict=True):
            weight[new] = weight[list(merge.parts)].mean(dim=0)
        # Padding rows are never met; as the mean of all they cannot stand out.
        weight[ids[-1] + 1 :] = weight[: ids[0]].mean(dim=0)
    return rows
