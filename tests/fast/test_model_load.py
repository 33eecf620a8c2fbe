"""Models on disk: made from nothing, saved, opened again, and refused where they cannot be trusted."""

from __future__ import annotations

import errno
import json
import pickle
import shutil
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from transformers import AutoModelForSequenceClassification

from xinglin import files
from xinglin.chat.local import Local
from xinglin.errors import CapError, DataError, MedError, ModelError
from xinglin.model import load, tiny
from xinglin.model.card import ADAPTER, CARD, WEIGHTS, read_card
from xinglin.model.merge import merge
from xinglin.model.rewarder import Rewarder
from xinglin.types import Checkpoint, Message, Origin, Preference, Sampling

TALK = [Message("user", "安络宁的适应症是什么？"), Message("assistant", "安络宁的适应症：头痛、发热。")]
SMALL = tiny.Size(pieces=600, hidden=32, layers=2, heads=2, feed_forward=96)
RARE = ["龘靐齉", "𠮷野家的𪚥", "㗎嗱", "①②Ⅲ", "０．５ｇ", "µg≥3×10⁹/L", "👨‍⚕️🤒", "a\tb\r\nc  d", "ﷺ", "\u0000\u001f"]


def test_a_tiny_model_is_the_same_for_the_same_seed_and_another_for_another(corpus: list[str]) -> None:
    made = [tiny.make(corpus, size=SMALL, seed=seed) for seed in (1, 1, 2)]
    same, again, other = (model.state_dict() for model, _ in made)
    assert all(torch.equal(same[name], again[name]) for name in same)
    assert not torch.equal(same["model.embed_tokens.weight"], other["model.embed_tokens.weight"])
    vocabularies = [tokenizer.backend_tokenizer.to_str() for _, tokenizer in made]
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]


def test_the_default_size_has_two_to_five_million_parameters_and_tied_embeddings() -> None:
    # 6,000 words of two rare characters fill a vocabulary of 4,096 pieces.
    texts = [chr(0x4E00 + number) + chr(0x6E00 + number % 3000) for number in range(6000)] * 2
    made, tokenizer = tiny.make(texts, size=tiny.Size(), seed=7)
    model: Any = made
    assert len(tokenizer) == model.config.vocab_size == 4096
    assert 2_000_000 <= sum(weight.numel() for weight in model.parameters()) <= 5_000_000
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight
    assert model.config.tie_word_embeddings
    assert next(model.parameters()).dtype == torch.float32


def test_every_text_comes_back_from_its_tokens(tiny_folder: Path, corpus: list[str]) -> None:
    tokenizer = load.open_tokenizer(str(tiny_folder))
    for text in [*corpus, *RARE]:
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == unicodedata.normalize("NFC", text)
    assert tokenizer.encode("") == []


def test_digits_stand_alone_and_no_piece_is_longer_than_four_characters(tiny_folder: Path) -> None:
    tokenizer: Any = load.open_tokenizer(str(tiny_folder))
    assert tokenizer.tokenize("2024") == ["2", "0", "2", "4"]
    plain = [piece for piece in tokenizer.get_vocab() if piece not in tokenizer.all_special_tokens]
    assert max(len(piece) for piece in plain) <= 12
    for role in ("user", "assistant", "system"):
        assert len(tokenizer.tokenize(role)) == 1


def test_a_tiny_model_without_text_is_refused() -> None:
    with pytest.raises(DataError, match="no text"):
        tiny.make([" ", "\n"], size=SMALL, seed=1)


def test_what_is_saved_opens_to_the_same_numbers(tiny_folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load.open_pair(str(tiny_folder))
    load.save(model, tokenizer, tmp_path / "again", stage="sft", base="tiny")
    opened, other = load.open_pair(str(tmp_path / "again"))
    second: Any = opened
    ids = torch.tensor([tokenizer.encode("安络宁的适应症")])
    with torch.no_grad():
        assert torch.equal(model(input_ids=ids).logits, second(input_ids=ids).logits)
    assert other.get_vocab() == tokenizer.get_vocab()
    assert other.chat_template == tokenizer.chat_template
    assert files.digest_file(tmp_path / "again" / "model.safetensors") == files.digest_file(
        tiny_folder / "model.safetensors"
    )
    assert (second.config.use_cache, second.config.tie_word_embeddings) == (False, True)
    assert second.get_output_embeddings().weight is second.get_input_embeddings().weight


def test_the_saved_files_tell_other_programs_how_to_generate(llama_folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load.open_pair(str(llama_folder))
    load.save(model, tokenizer, tmp_path, stage="base", base="llama")
    config, generation = (files.read_json(tmp_path / name) for name in ("config.json", "generation_config.json"))
    assert (config["use_cache"], config["pad_token_id"], config["eos_token_id"]) == (True, 2, 2)
    assert (generation["use_cache"], generation["pad_token_id"], generation["eos_token_id"]) == (True, 2, [2])
    assert not list(tmp_path.glob("*.bin"))


def test_the_card_names_stage_base_and_digest(tiny_folder: Path, tmp_path: Path) -> None:
    card = read_card(tiny_folder)
    rest = {name: value for name, value in files.digest_folder(tiny_folder).items() if name != CARD}
    assert card == Checkpoint(path=".", stage="base", base="tiny", digest=files.digest_json(rest))
    for content in (None, ""):
        if content is not None:
            (tmp_path / CARD).write_text(content)
        with pytest.raises(ModelError, match="no checkpoint card"):
            read_card(tmp_path)


def test_a_model_of_another_make_opens_by_the_same_path(llama_folder: Path, tmp_path: Path) -> None:
    local = Local(llama_folder)
    (reply,) = local.answer([TALK[:1]], Sampling(max_tokens=5))
    assert 0 < reply.tokens <= 5
    ((score,),) = local.score([TALK[:1]], [["头痛。"]])
    assert score < 0
    model, tokenizer = load.open_pair(str(llama_folder))
    load.save(model, tokenizer, tmp_path, stage="base", base=str(llama_folder))
    assert Local(tmp_path).template.encode(TALK) == local.template.encode(TALK)


@pytest.fixture
def copy(tiny_folder: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model to damage."""
    shutil.copytree(tiny_folder, tmp_path / "model")
    return tmp_path / "model"


def config(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        path = folder / "config.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))

    return change


def cut(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1000])


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"weight": 1}))


def fewer(folder: Path) -> None:
    path = folder / "model.safetensors"
    weights = load_file(path)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, path, metadata={"format": "pt"})


def no_tokenizer(folder: Path) -> None:
    for path in folder.glob("tokenizer*"):
        path.unlink()


@pytest.mark.parametrize(
    ("damage", "problem"),
    [
        (lambda folder: (folder / "config.json").unlink(), "no config.json"),
        (lambda folder: (folder / "config.json").write_text("{"), "not valid JSON"),
        (lambda folder: (folder / "config.json").write_text("[]"), "not a JSON object"),
        (lambda folder: (folder / "config.json").write_text("{}"), "model_type"),
        (config(model_type="nosuch"), "nosuch"),
        (config(hidden_size="x"), "hidden_size.*expected int"),
        (config(num_hidden_layers=5), "num_hidden_layers"),
        (config(auto_map={"AutoModel": "evil.Model"}), "own Python code"),
        (config(hidden_size=32), r"\[\d+, 64\], the configuration says \[\d+, 32\]"),
        (pickled, "only pickled weights .pytorch_model.bin"),
        (lambda folder: (folder / "model.safetensors").unlink(), "no weights"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b""), "cannot be opened"),
        (cut, "cannot be opened"),
        (fewer, "1 weights are missing, the first is model.layers.1.mlp.up_proj.weight"),
        (no_tokenizer, "no tokenizer"),
        (lambda folder: (folder / "tokenizer.json").write_text("{"), "cannot be opened"),
        (lambda folder: (folder / "tokenizer.json").write_text("{}"), "cannot be opened"),
    ],
)
def test_a_damaged_folder_is_refused_with_its_name_and_what_to_do(
    damage: Callable[[Path], None], problem: str, copy: Path
) -> None:
    damage(copy)
    with pytest.raises(ModelError, match=problem) as caught:
        load.open_pair(str(copy))
    assert str(copy) in caught.value.where
    assert caught.value.fix
    assert caught.value.code == 4


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused_with_both_numbers(copy: Path) -> None:
    tokenizer: Any = load.open_tokenizer(str(copy))
    before = len(tokenizer)
    tokenizer.add_tokens(["安络宁", "倍舒平"])
    with pytest.raises(ModelError, match=f"{before + 2} tokens.* embeddings for {before} "):
        load.save(load.open_model(str(copy)), tokenizer, copy.parent / "new", stage="base", base="tiny")
    assert not (copy.parent / "new").exists()
    tokenizer.save_pretrained(copy)
    with pytest.raises(ModelError, match=f"{before + 2} tokens.* embeddings for {before} "):
        load.open_pair(str(copy))
    with pytest.raises(ModelError, match="tokens"):
        Local(copy)


@pytest.mark.parametrize("open_one", [load.open_model, load.open_tokenizer])
@pytest.mark.parametrize(
    ("spec", "problem"),
    [("nobody/nothing", "cannot be opened"), ("qwen3", "no such model folder"), ("./a/b/c", "no such model folder")],
)
def test_a_name_that_leads_nowhere_is_refused(open_one: Callable[[str], Any], spec: str, problem: str) -> None:
    with pytest.raises(ModelError, match=problem) as caught:
        open_one(spec)
    assert caught.value.where == spec


def test_a_policy_is_no_reward_model(tiny_folder: Path, llama_folder: Path, tmp_path: Path) -> None:
    for folder in (tiny_folder, llama_folder):
        with pytest.raises(ModelError, match=r"no reward model|no checkpoint card"):
            Rewarder(folder)
    # Also when its card says otherwise: the head would be random numbers.
    liar = tmp_path / "liar"
    shutil.copytree(tiny_folder, liar)
    files.write_records(liar / CARD, [Checkpoint(path=".", stage="reward", base="tiny", digest="")])
    with pytest.raises(MedError, match=r"score\.weight"):
        Rewarder(liar)


def test_a_reward_model_is_no_policy(tiny_folder: Path, tmp_path: Path) -> None:
    # With tied embeddings nothing is missing: it would write, with weights that were trained to score.
    kind = AutoModelForSequenceClassification
    model, tokenizer = load.open_pair(str(tiny_folder), kind=kind, num_labels=1, fresh=["score.weight"])
    load.save(model, tokenizer, tmp_path, stage="reward", base="tiny")
    with pytest.raises(ModelError, match="this is a reward model"):
        load.open_model(str(tmp_path))


def test_a_reward_model_gives_the_same_rewards_in_any_company(tiny_folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(2)
    kind = AutoModelForSequenceClassification
    model, tokenizer = load.open_pair(str(tiny_folder), kind=kind, num_labels=1, fresh=["score.weight"])
    load.save(model, tokenizer, tmp_path, stage="reward", base="tiny")
    rewarder = Rewarder(tmp_path)
    talks = [[TALK[0], Message("assistant", "头痛。" * count)] for count in (1, 9, 3, 30, 2)]
    together = rewarder.rewards(talks)
    assert together == pytest.approx([rewarder.rewards([talk])[0] for talk in talks], abs=1e-5)
    assert len(set(together)) == len(talks)
    opened: Any = rewarder.model
    ids = [torch.tensor([rewarder.template.encode(talk).ids]) for talk in talks]
    with torch.no_grad():
        assert together == pytest.approx([opened(input_ids=one).logits.item() for one in ids], abs=1e-5)
    origin = Origin(source="test", item="1", licence="CC0-1.0", kind="template")
    pair = Preference("preference-1", (TALK[0],), "头痛。", "头痛。" * 9, origin)
    assert rewarder.margins([pair]) == pytest.approx([together[0] - together[1]], abs=1e-5)


@pytest.mark.parametrize(
    ("error", "found"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), CapError),
        (SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"), CapError),
        (OSError(errno.EACCES, "Permission denied"), OSError),
        (SafetensorError("Error while serializing: header too large"), SafetensorError),
    ],
)
def test_a_full_disk_under_the_writers_of_weights_is_a_cap(
    error: Exception, found: type[Exception], tmp_path: Path
) -> None:
    with pytest.raises(found) as caught, load.writing(tmp_path):
        raise error
    if isinstance(caught.value, CapError):
        assert caught.value.where == str(tmp_path)
        assert caught.value.code == 7


def test_libraries_say_nothing_when_they_are_imported() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import xinglin.train.group"], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("", "")


def test_a_file_is_never_taken_for_a_hub_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    files.write_text(tmp_path / "data" / "rows.json", "[]")
    with pytest.raises(ModelError, match="this is a file"):
        load.local("data/rows.json")


def test_weights_can_be_read_by_whoever_may_read_the_folder(tiny_folder: Path) -> None:
    modes = {path.name: path.stat().st_mode & 0o777 for path in tiny_folder.iterdir()}
    assert modes["model.safetensors"] == modes[CARD]


def test_an_adapter_that_was_moved_away_from_its_base_says_so(tmp_path: Path) -> None:
    files.write_json(tmp_path / ADAPTER, {"peft_type": "LORA", "base_model_name_or_path": "../../sft/model"})
    (tmp_path / WEIGHTS).touch()
    with pytest.raises(ModelError, match="the base that the adapter names is not there") as caught:
        merge([tmp_path], tmp_path / "merged")
    assert caught.value.where == str(tmp_path)
    assert "--base" in caught.value.fix
