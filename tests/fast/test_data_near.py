"""Near-duplicates: what is proposed is verified exactly, and of similar pairs hardly any is missed."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xinglin.data import near
from xinglin.text import squeeze

_WORDS = "头痛 发热 咳嗽 失眠 腹泻 心悸 眩晕 便秘 胃痛 鼻塞 皮疹 水肿 耳鸣 乏力 盗汗 口渴 反酸 胸闷 气短 尿频"
WORDS = _WORDS.split()


def grams(text: str, size: int = 3) -> set[str]:
    plain = squeeze(text)
    return {plain[at : at + size] for at in range(max(len(plain) - size + 1, 0))} or ({plain} if plain else set())


def jaccard(one: str, other: str) -> float:
    left, right = grams(one), grams(other)
    return len(left & right) / len(left | right) if left | right else 0.0


def sentence(chance: random.Random) -> str:
    return "，".join(chance.choices(WORDS, k=chance.randint(6, 20)))


def edit(text: str, share: float, chance: random.Random) -> str:
    letters = list(text)
    for _ in range(max(1, int(len(letters) * share))):
        letters[chance.randrange(len(letters))] = chance.choice("的了是我不在人有")
    return "".join(letters)


@pytest.fixture(scope="module")
def collection() -> list[str]:
    chance = random.Random(3)
    texts = [sentence(chance) for _ in range(150)]
    texts += [edit(chance.choice(texts[:150]), rate, chance) for rate in (0.02, 0.1, 0.2) for _ in range(60)]
    texts += ["您好，" + chance.choice(texts[:150]) + "，谢谢医生" for _ in range(40)]
    chance.shuffle(texts)
    return texts


@pytest.mark.parametrize("threshold", [0.5, 0.7])
def test_pairs_are_those_of_brute_force_but_for_few(collection: list[str], threshold: float) -> None:
    pairs = near.find(*near.encode(map(squeeze, collection)), threshold=threshold)
    found = dict(
        zip(zip(pairs.left_K.tolist(), pairs.right_K.tolist(), strict=True), pairs.similar_K.tolist(), strict=True)
    )
    count = len(collection)
    true = {
        (left, right): similar
        for left in range(count)
        for right in range(left + 1, count)
        if (similar := jaccard(collection[left], collection[right])) >= threshold
    }
    assert all(true[pair] == pytest.approx(similar) for pair, similar in found.items())
    assert len(found) >= 0.97 * len(true)
    assert len(true) > 50


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(alphabet="头痛发热咳嗽ab 1，。", max_size=12), max_size=8))
def test_the_grams_of_any_texts_are_their_distinct_triples(texts: list[str]) -> None:
    encoded, digests = near.encode(map(squeeze, texts))
    assert encoded.sizes_N.tolist() == [len(grams(text)) for text in texts]
    assert digests.shape == (len(texts), near.BANDS * near.ROWS)
    pairs = near.find(encoded, digests, threshold=0.6)
    for left, right, similar in zip(pairs.left_K, pairs.right_K, pairs.similar_K, strict=True):
        assert left < right
        assert jaccard(texts[left], texts[right]) == pytest.approx(similar)


def test_a_crowd_of_equal_texts_is_paired_with_its_head() -> None:
    texts = ["每天头痛发热咳嗽失眠腹泻"] * 300
    pairs = near.find(*near.encode(map(squeeze, texts)), threshold=0.9)
    joined = {*pairs.left_K.tolist(), *pairs.right_K.tolist()}
    assert joined == set(range(300))
    assert len(pairs.left_K) < 300 * 299 / 2
    assert np.all(pairs.similar_K == 1)


def test_pairs_between_two_collections_cross_the_border_only() -> None:
    texts = ["头痛发热三天怎么办", "头痛发热三天怎么办呢", "头痛发热三天怎么办呀", "皮疹瘙痒半月要紧吗"]
    pairs = near.find(*near.encode(map(squeeze, texts)), threshold=0.5, first=2)
    assert {(int(left), int(right)) for left, right in zip(pairs.left_K, pairs.right_K, strict=True)} == {
        (0, 2),
        (1, 2),
    }


@pytest.mark.parametrize("texts", [[], [""], ["", ""], ["一"], ["头痛发热"]])
def test_nothing_short_and_single_texts_have_no_pairs(texts: list[str]) -> None:
    assert len(near.find(*near.encode(map(squeeze, texts)), threshold=0.5).left_K) == 0


def test_short_texts_are_one_gram_each() -> None:
    pairs = near.find(*near.encode(["痛", "痛", "热", "头痛"]), threshold=0.5)
    assert pairs.left_K.tolist() == [0]
    assert pairs.right_K.tolist() == [1]
