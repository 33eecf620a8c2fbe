"""Bases laid out as published ones: special tokens behind the vocabulary, padded rows, ids left out, byte fallback."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import (
    AutoTokenizer,
    LlamaConfig,
    LlamaForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.render import Template
from xinglin.model.tiny import QWEN2_SPLIT
from xinglin.model.vocab import LONGEST, Extension, extend
from xinglin.train.fit import Schedule
from xinglin.train.sft import sft
from xinglin.types import Message, Sample

ORGANS = ("肝", "脾", "肾", "心", "肺", "胃")
TEXTS = [
    f"{organ}气不足的患者第{number}次复诊，苔薄白，脉弦细，弓弦细，予以加味逍遥散调理。\nSee note {number}: stable."
    for number in range(80)
    for organ in ORGANS
]
OLD_TEXTS = [
    "The patient was given 10 mg of aspirin twice a day; user and assistant, the患者复诊, stable.",
    "苔薄白，脉弦。\n\n  def f(x): return x",
] * 20
SHAPE: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4, "intermediate_size": 48}
CHATML = (
    "{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n'}}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
SPECIALS = {
    "qwen": ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<tool_call>"],
    "llama3": ["<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>", "<|reserved_special_token_0|>"],
    "llama2": ["<unk>", "<s>", "</s>"],
}
LETTERS = st.characters(codec="utf-8", exclude_categories=("Cs", "Cn", "Co"))
CHECK = settings(max_examples=40, deadline=None)


def byte_level() -> dict[str, Any]:
    """The tokenizer.json of a byte-level BPE without special tokens, trained on a little of our text."""
    made = Tokenizer(models.BPE())
    made.normalizer = normalizers.NFC()
    split: Any = pre_tokenizers.Split(Regex(QWEN2_SPLIT), behavior="isolated")
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    made.train_from_iterator(
        OLD_TEXTS, trainers.BpeTrainer(vocab_size=340, initial_alphabet=alphabet, show_progress=False)
    )
    return json.loads(made.to_str())


def special(content: str, at: int) -> dict[str, Any]:
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    return {"id": at, "content": content, **flags, "special": content != "<tool_call>"}


def write(folder: Path, content: dict[str, Any], settings: dict[str, Any], model: PreTrainedModel) -> None:
    model.save_pretrained(folder)
    (folder / "tokenizer.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def qwen(folder: Path, *, tied: bool, rows: int = 640) -> None:
    """Special tokens follow the vocabulary and do not stand in it; rows are padded far beyond them."""
    content = byte_level()
    first = len(content["model"]["vocab"])
    content["added_tokens"] = [special(token, first + at) for at, token in enumerate(SPECIALS["qwen"])]
    settings = {
        "tokenizer_class": "Qwen2Tokenizer",
        "added_tokens_decoder": {
            str(token["id"]): {name: value for name, value in token.items() if name != "id"}
            for token in content["added_tokens"]
        },
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
        "clean_up_tokenization_spaces": False,
        "chat_template": CHATML,
    }
    config = Qwen2Config(vocab_size=rows, num_key_value_heads=2, tie_word_embeddings=tied, **SHAPE)
    write(folder, content, settings, Qwen2ForCausalLM(config))


def qwen_in_two_files(folder: Path) -> None:
    """Qwen as vocab.json and merges.txt: the special tokens are named in tokenizer_config.json only."""
    qwen(folder, tied=True)
    content = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["model"]
    (folder / "vocab.json").write_text(json.dumps(content["vocab"]), encoding="utf-8")
    merges = [" ".join(pair) for pair in content["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges, ""]), encoding="utf-8")
    (folder / "tokenizer.json").unlink()


def llama3(folder: Path, *, hole: int = 0, kind: Callable[[int], PreTrainedModel] | None = None) -> None:
    """Whole words are looked up before merging, a text begins with a token, every row is taken.

    `hole`: so many ids before the special tokens stand for nothing; they are then part of the vocabulary.
    """
    content = byte_level()
    content["model"]["ignore_merges"] = True
    first = len(content["model"]["vocab"]) + hole
    names = SPECIALS["llama3"]
    content["added_tokens"] = [special(token, first + at) for at, token in enumerate(names)]
    if hole:
        content["model"]["vocab"] |= {token["content"]: token["id"] for token in content["added_tokens"]}
    begin = {"id": names[0], "ids": [first], "tokens": names[:1]}
    single = [{"SpecialToken": {"id": names[0], "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    content["post_processor"] = {
        "type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": {names[0]: begin},
    }  # fmt: skip
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": names[0], "eos_token": names[2]}
    write(folder, content, settings, (kind or llama)(first + len(names)))


def llama(rows: int) -> PreTrainedModel:
    return LlamaForCausalLM(LlamaConfig(vocab_size=rows, **SHAPE))


def phi(rows: int) -> PreTrainedModel:
    """Its output layer has a bias."""
    model = PhiForCausalLM(PhiConfig(vocab_size=rows, **SHAPE))
    torch.nn.init.normal_(model.lm_head.bias)
    return model


def llama2(folder: Path) -> None:
    """SentencePiece's BPE as tokenizer.json: blanks as ▁, no pre-tokens, unknown characters as bytes such as <0xE4>."""
    made = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    named = [*SPECIALS["llama2"], *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=named,
        initial_alphabet=sorted({*"".join(TEXTS[:6])} - {"\n", " ", "诊"}),
        show_progress=False,
    )
    made.train_from_iterator(OLD_TEXTS, trainer)
    content = json.loads(made.to_str())
    content["added_tokens"] = [special(token, at) for at, token in enumerate(SPECIALS["llama2"])]
    settings = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    write(folder, content, settings, llama(len(content["model"]["vocab"])))


LAYOUTS: dict[str, Callable[[Path], None]] = {
    "qwen": lambda folder: qwen(folder, tied=False),
    "qwen-tied": lambda folder: qwen(folder, tied=True, rows=352),
    "qwen-in-two-files": qwen_in_two_files,
    "llama3": llama3,
    "ids-left-out": lambda folder: llama3(folder, hole=7),
    "phi": lambda folder: llama3(folder, kind=phi),
    "llama2": llama2,
}


class Made:
    """A base, what has become of it, and the report."""

    def __init__(self, root: Path, name: str) -> None:
        self.base, self.folder = root / name, root / f"{name}-extended"
        torch.manual_seed(7)
        LAYOUTS[name](self.base)
        self.report: Extension = extend(self.base, iter(TEXTS), self.folder, pieces=50)
        self.old: Any = load.open_tokenizer(str(self.base))
        self.new: Any = AutoTokenizer.from_pretrained(self.folder)
        self.last = max(self.old.get_vocab().values())

    def parts(self) -> dict[int, list[int]]:
        """The old pieces of every new one, by the base's own tokenizer."""
        cut = self.old.backend_tokenizer.model.tokenize
        return {at: [one.id for one in cut(text)] for text, at in self.new.get_vocab().items() if at > self.last}


@pytest.fixture(scope="module", params=LAYOUTS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, threads: None) -> Made:
    return Made(tmp_path_factory.mktemp("layouts"), request.param)


def test_every_old_token_keeps_its_id_and_new_ones_follow(made: Made) -> None:
    old, new = made.old.get_vocab(), made.new.get_vocab()
    assert {token: new.get(token) for token in old} == old
    found = sorted(at for token, at in new.items() if token not in old)
    assert found == [*range(made.last + 1, made.last + 1 + made.report.added)]
    assert 20 <= made.report.added <= 50
    assert (made.report.before, len(made.new)) == (len(old), len(old) + made.report.added)


def test_special_tokens_are_single_ids_and_only_they_are_added_tokens(made: Made) -> None:
    assert made.new.get_added_vocab() == made.old.get_added_vocab() != {}
    for token, at in made.old.get_added_vocab().items():
        assert made.new.encode(token, add_special_tokens=False)[-1] == at
        assert made.new.decode([at]) == token
        assert at not in made.new.encode(f"{token[0]} {token[1:]}", add_special_tokens=False)
    new = load.open_tokenizer(str(made.folder))
    assert (new.all_special_ids, new.eos_token_id, new.pad_token_id, new.bos_token_id) == (
        made.old.all_special_ids, made.old.eos_token_id, made.old.pad_token_id, made.old.bos_token_id,
    )  # fmt: skip
    talk = [Message("user", "aspirin 10 mg"), Message("assistant", "ok <|im_end|> </s> <tool_call>")]
    assert Template(new).encode(talk) == Template(made.old).encode(talk)
    assert Template(new).stop_ids == Template(made.old).stop_ids


def test_a_text_comes_back_and_is_cut_as_before_with_new_pieces_for_neighbours(made: Made) -> None:
    words = [
        "脉弦细", "弓弦细", "弦", "细", "肝气不足的患者", "复诊", "苔薄白", "aspirin", "10", " mg", "  \n\t", "é",
        "①㎎", "🧑\u200d⚕️", "𠮷龘𪚥", "<|im_end|>", "</s>",
    ]  # fmt: skip
    pieces = st.one_of(st.sampled_from(words), st.text(LETTERS, max_size=5))
    parts = made.parts()

    @CHECK
    @given(st.lists(pieces, max_size=8).map("".join))
    def comes_back(text: str) -> None:
        before, after = made.old.encode(text), made.new.encode(text)
        assert made.new.decode(after) == made.old.decode(before)
        assert [part for token in after for part in parts.get(token, [token])] == before

    comes_back()
    assert max(made.new.encode("肝气不足的患者")) > made.last
    assert made.report.compression_after > made.report.compression_before


def test_new_rows_are_the_mean_of_their_old_pieces_and_old_rows_stay(made: Made) -> None:
    old, new = load.open_model(str(made.base)), load.open_model(str(made.folder))
    parts = made.parts()
    assert min(map(len, parts.values())) >= 2
    for name in ("get_input_embeddings", "get_output_embeddings"):
        before, after = getattr(old, name)(), getattr(new, name)()
        for kind in ("weight", "bias"):
            was, rows = getattr(before, kind, None), getattr(after, kind, None)
            assert (was is None) == (rows is None)
            if was is not None and rows is not None:
                torch.testing.assert_close(rows[: made.last + 1], was[: made.last + 1], rtol=0, atol=0)
                for at, ids in parts.items():
                    torch.testing.assert_close(rows[at], was[ids].mean(dim=0))
                rest = rows[made.last + 1 + len(parts) :]
                torch.testing.assert_close(rest, was[: made.last + 1].mean(dim=0).expand_as(rest))
    assert (new.get_input_embeddings().weight is new.get_output_embeddings().weight) == old.config.tie_word_embeddings  # type: ignore[union-attr]


def test_merges_follow_the_old_ones_and_join_what_is_known_before(made: Made) -> None:
    old, new = (json.loads(one.backend_tokenizer.to_str())["model"]["merges"] for one in (made.old, made.new))
    assert new[: len(old)] == old
    known = made.new.get_vocab()
    made_ids = [known[left + right] for left, right in new[len(old) :]]
    assert made_ids == [*range(made.last + 1, made.last + 1 + made.report.added)]
    assert all(max(known[left], known[right]) < at for (left, right), at in zip(new[len(old) :], made_ids, strict=True))


def test_rows_are_padded_to_the_multiple_and_never_taken_away(made: Made, tmp_path: Path) -> None:
    was = load.open_config(str(made.base)).vocab_size
    # One token more than the multiple: the row that a rounding by one too few would leave out.
    multiple = made.last + 10
    report = extend(made.base, TEXTS, tmp_path / "made", pieces=10, multiple=multiple)
    assert report.added == 10
    for folder, said, one in ((made.folder, made.report, 64), (tmp_path / "made", report, multiple)):
        model, tokenizer = load.open_pair(str(folder))
        needed = max(tokenizer.get_vocab().values()) + 1
        rows = max(was, math.ceil(needed / one) * one)
        for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
            assert layer.weight.shape[0] == model.config.vocab_size == said.rows == rows  # type: ignore[union-attr]


def test_an_extended_model_generates_and_trains(made: Made, samples: list[Sample], tmp_path: Path) -> None:
    schedule = Schedule(epochs=1, batch=2, rate=1e-3, seed=1, length=256)
    assert sft(made.folder, samples[:4], tmp_path / "taught", schedule=schedule).rows
    model, tokenizer = load.open_pair(str(tmp_path / "taught" / load.FOLDER))
    assert tokenizer.get_vocab() == made.new.get_vocab()
    ids = torch.tensor([Template(tokenizer).prompt([Message("user", "肝气不足的患者")])])
    assert ids.max() > made.last
    found = model.generate(input_ids=ids, max_new_tokens=3, min_new_tokens=3, do_sample=False)  # type: ignore[operator]
    assert found.shape == (1, ids.shape[1] + 3)


def test_an_extended_vocabulary_can_be_extended_again(made: Made, tmp_path: Path) -> None:
    more = [f"{number}：苔薄白，予以加味逍遥散；湿热下注，脾肺气不足，心气次调。" for number in range(300)]
    again = extend(made.folder, [*more, *TEXTS], tmp_path / "again", pieces=1000)
    assert 0 < again.added < 1000
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "again")
    first, second = made.new.get_vocab(), tokenizer.get_vocab()
    assert {token: second.get(token) for token in first} == first
    assert len(set(second.values())) == len(second) == again.before + again.added
    assert max(len(tokenizer.decode([at])) for at in second.values() if at > made.last) == LONGEST


def wordpiece(folder: Path) -> None:
    llama(16).save_pretrained(folder)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "肝", "气", "不", "足", "##s"]
    (folder / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "eos_token": "[SEP]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def own_code(folder: Path) -> None:
    llama(16).save_pretrained(folder)
    (folder / "qwen.tiktoken").write_bytes(b"IQ== 0\nIg== 1\n")
    settings = {"tokenizer_class": "QWenTokenizer", "auto_map": {"AutoTokenizer": ["tokenization_qwen.Q", None]}}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")


def sentencepiece_only(folder: Path) -> None:
    llama2(folder)
    (folder / "tokenizer.json").rename(folder / "tokenizer.model")


@pytest.mark.parametrize(
    ("base", "problem", "fix"),
    [
        (wordpiece, "no byte-pair encoding", "BPE tokenizer"),
        (own_code, "cannot be opened", "remote code is never run"),
        pytest.param(
            sentencepiece_only, "SentencePiece file only", "pip install sentencepiece",
            marks=pytest.mark.skipif(find_spec("sentencepiece") is not None, reason="sentencepiece is installed"),
        ),
    ],
)  # fmt: skip
def test_a_layout_that_cannot_be_extended_is_refused_with_the_reason(
    base: Callable[[Path], None], problem: str, fix: str, tmp_path: Path
) -> None:
    base(tmp_path / "base")
    with pytest.raises(ModelError, match=problem) as caught:
        extend(tmp_path / "base", TEXTS, tmp_path / "made", pieces=10)
    assert fix in str(caught.value.fix)
    assert not (tmp_path / "made").exists()
