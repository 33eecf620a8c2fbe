"""New pieces come after all that was there: old ids, old segmentations and old logits stay, and text gets shorter."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaConfig, LlamaForCausalLM

from xinglin.errors import DataError, ModelError
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.vocab import Extension, extend
from xinglin.types import Message

ORGANS = ("肝", "脾", "肾", "心", "肺", "胃")
TEXTS = [
    f"{organ}气不足的患者第{number}次复诊，苔薄白，脉弦细，予以加味逍遥散调理。\nSee note {number}: stable."
    for number in range(80)
    for organ in ORGANS
]
CHECK = settings(max_examples=60, deadline=None)


def untied(folder: Path, root: Path) -> Path:
    """A Llama with its own output layer and more embedding rows than tokens."""
    tokenizer = load.open_tokenizer(str(folder))
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 5, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    load.save(LlamaForCausalLM(config), tokenizer, root / "untied", stage="base", base="here")
    return root / "untied"


@pytest.fixture(scope="module")
def bases(tiny_folder: Path, llama_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("vocab")
    return {"tiny": tiny_folder, "llama": llama_folder, "untied": untied(tiny_folder, root)}


@pytest.fixture(scope="module")
def extended(
    bases: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, threads: None
) -> dict[str, tuple[Extension, Path]]:
    root = tmp_path_factory.mktemp("extended")
    return {
        name: (extend(base, iter(TEXTS), root / name, pieces=60, multiple=64), root / name)
        for name, base in bases.items()
    }


NAMES = ("tiny", "llama", "untied")


@pytest.mark.parametrize("name", NAMES)
def test_text_takes_fewer_tokens_and_the_report_says_how_many(
    name: str, extended: dict[str, tuple[Extension, Path]], bases: dict[str, Path]
) -> None:
    made, folder = extended[name]
    old, new = (load.open_tokenizer(str(path)) for path in (bases[name], folder))
    assert (made.before, made.before + made.added) == (len(old), len(new))
    assert 30 < made.added <= 60
    assert made.compression_after > 1.5 * made.compression_before
    assert 0 < made.used <= 1
    assert made.heldout > 0
    assert any(len(text) > 1 for text in made.examples)
    assert made.rows == max(-(-len(new) // 64) * 64, made.rows)
    assert made.rows % 64 == 0 or name == "untied"


@pytest.mark.parametrize("name", NAMES)
def test_old_ids_special_tokens_and_the_chat_template_stay(
    name: str, extended: dict[str, tuple[Extension, Path]], bases: dict[str, Path]
) -> None:
    old, new = (load.open_tokenizer(str(path)) for path in (bases[name], extended[name][1]))
    assert {token: new.get_vocab().get(token) for token in old.get_vocab()} == old.get_vocab()
    assert (new.eos_token_id, new.pad_token_id, new.all_special_ids) == (
        old.eos_token_id, old.pad_token_id, old.all_special_ids,
    )  # fmt: skip
    assert new.chat_template == old.chat_template
    talk = [Message("user", "hello 2024"), Message("assistant", "ok, 10 mg.")]
    assert Template(new).encode(talk) == Template(old).encode(talk)


@pytest.mark.parametrize("name", NAMES)
def test_any_text_survives_and_text_without_new_pieces_is_cut_as_before(
    name: str, extended: dict[str, tuple[Extension, Path]], bases: dict[str, Path]
) -> None:
    old, new = (load.open_tokenizer(str(path)) for path in (bases[name], extended[name][1]))
    words = st.sampled_from(["肝气不足", "逍遥散", "aspirin ", "10 mg", "😀", "，", "\n", "é", "患者"])
    letters = st.characters(codec="utf-8", exclude_categories=("Cs", "Cn", "Co"))

    @CHECK
    @given(text=st.lists(st.one_of(words, st.text(letters, max_size=6)), max_size=8).map("".join))
    def survives(text: str) -> None:
        ids = new.encode(text, add_special_tokens=False)
        before = old.encode(text, add_special_tokens=False)
        assert new.decode(ids) == old.decode(before)
        assert len(ids) <= len(before)
        if max(ids, default=0) < len(old):
            assert ids == before

    @CHECK
    @given(text=st.text(st.characters(max_codepoint=0x2FF), max_size=30))
    def is_cut_as_before(text: str) -> None:
        assert new.encode(text) == old.encode(text)

    survives()
    is_cut_as_before()


@pytest.mark.parametrize("name", NAMES)
def test_a_new_row_is_the_mean_of_its_parts_and_old_logits_stay(
    name: str, extended: dict[str, tuple[Extension, Path]], bases: dict[str, Path]
) -> None:
    old, new = (load.open_model(str(path)) for path in (bases[name], extended[name][1]))
    before, after = (load.open_tokenizer(str(path)) for path in (bases[name], extended[name][1]))
    for head in ("get_input_embeddings", "get_output_embeddings"):
        rows, was = (getattr(model, head)().weight for model in (new, old))
        for token in range(len(before), len(after)):
            text = str(after.decode([token]))
            parts = before.encode(text, add_special_tokens=False)
            if "\ufffd" not in text and before.decode(parts) == text and text.strip() == text:
                torch.testing.assert_close(rows[token], was[parts].mean(dim=0))
    tied = old.config.tie_word_embeddings
    assert (new.get_output_embeddings().weight is new.get_input_embeddings().weight) == tied  # type: ignore[union-attr]
    ids = torch.tensor([before.encode("hello, 10 mg of aspirin")])
    with torch.no_grad():
        found = new(input_ids=ids).logits[..., : len(before)]
        wanted = old(input_ids=ids).logits[..., : len(before)]
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-5)


def test_the_same_text_gives_the_same_pieces(bases: dict[str, Path], tmp_path: Path) -> None:
    first, second = (extend(bases["tiny"], TEXTS, tmp_path / name, pieces=20) for name in ("one", "two"))
    assert first == second
    one, two = (json.loads((tmp_path / name / "tokenizer.json").read_text()) for name in ("one", "two"))
    assert one == two


@pytest.mark.parametrize(
    ("texts", "problem"),
    [([], "no text to learn"), (["  \n"], "no text to learn"), (["hello world, " * 40] * 60, "no frequent words")],
)
def test_text_that_teaches_nothing_is_an_error(
    texts: list[str], problem: str, bases: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=problem) as caught:
        extend(bases["tiny"], texts, tmp_path / "made", pieces=10)
    assert caught.value.fix
    assert not (tmp_path / "made").exists()


def test_a_tokenizer_that_is_no_byte_pair_encoding_is_refused(
    bases: dict[str, Path], tmp_path: Path, unigram: Callable[[Path], Any]
) -> None:
    unigram(tmp_path / "base")
    with pytest.raises(ModelError, match="no byte-pair encoding"):
        extend(tmp_path / "base", TEXTS, tmp_path / "made", pieces=10)


@pytest.fixture
def unigram() -> Callable[[Path], None]:
    """Writes a model whose tokenizer is a unigram model."""

    def write(folder: Path) -> None:
        from tokenizers import Tokenizer, models
        from transformers import PreTrainedTokenizerFast

        backend = Tokenizer(models.Unigram([("<unk>", 0.0), ("</s>", 0.0), ("肝", -1.0), ("气", -1.5)], unk_id=0))
        tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="</s>", pad_token="</s>")
        config = LlamaConfig(
            vocab_size=4, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
        )
        LlamaForCausalLM(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return write
