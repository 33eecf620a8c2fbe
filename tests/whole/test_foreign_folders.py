"""Folders as others make them: adapters of plain PEFT, spoilt indices of bases, and what a crash leaves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    GenerationConfig,
    LlamaConfig,
    LlamaForCausalLM,
)  # fmt: skip

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.adapter import Tuning, open_for_training
from xinglin.model.merge import merge
from xinglin.model.take import take
from xinglin.recipe.single import Single, plan_single
from xinglin.train.board import Board
from xinglin.train.utilisation import peak

IDS = torch.tensor([[5, 9, 14, 60]])
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def tied(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, threads: None) -> Path:
    """A Llama whose output layer is its embeddings, in several files."""
    folder = tmp_path_factory.mktemp("tied")
    tokenizer = load.open_tokenizer(str(tiny_folder))
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    config = LlamaConfig(vocab_size=len(tokenizer), intermediate_size=64, tie_word_embeddings=True, **shape)
    torch.manual_seed(1)
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        for weight in model.parameters():
            weight.normal_(0, 0.1)
    model.save_pretrained(folder, max_shard_size="60KB")
    tokenizer.save_pretrained(folder)
    return folder


def trained(model: Any, folder: Path, **knobs: Any) -> torch.Tensor:
    """An adapter of plain PEFT with random weights in a folder; returns its logits."""
    torch.manual_seed(2)
    adapter = get_peft_model(model, LoraConfig(r=4, lora_alpha=8, **knobs))
    with torch.no_grad():
        for weight in adapter.parameters():
            if weight.requires_grad:
                weight += 0.05 * torch.randn_like(weight)
        adapter.save_pretrained(str(folder))
        return adapter(input_ids=IDS).logits


@pytest.mark.parametrize(
    "knobs",
    [
        {"target_modules": "all-linear"},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj", "embed_tokens"], "ensure_weight_tying": True},
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]},
    ],
    ids=["linear", "embeddings", "embeddings, tied", "head", "saved whole"],
)
def test_an_adapter_of_plain_peft_without_a_tokenizer_opens_and_merges(
    tied: Path, tmp_path: Path, knobs: dict[str, Any]
) -> None:
    wanted = trained(AutoModelForCausalLM.from_pretrained(tied), tmp_path / "a", task_type=TaskType.CAUSAL_LM, **knobs)
    opened, tokenizer = load.open_pair(str(tmp_path / "a"))
    assert tokenizer.get_vocab() == load.open_tokenizer(str(tied)).get_vocab()
    merge([tmp_path / "a"], tmp_path / "merged")
    for model in (opened, load.open_model(str(tmp_path / "merged"))):
        with torch.no_grad():
            torch.testing.assert_close(model(input_ids=IDS).logits, wanted, rtol=0, atol=1e-5)


def test_the_adapter_of_a_reward_model_is_neither_a_policy_nor_merged(tied: Path, tmp_path: Path) -> None:
    judge = AutoModelForSequenceClassification.from_pretrained(tied, num_labels=1)
    trained(judge, tmp_path / "a", task_type=TaskType.SEQ_CLS, target_modules=["q_proj"])
    with pytest.raises(ModelError, match="adapter of a reward model"):
        load.open_pair(str(tmp_path / "a"))
    with pytest.raises(ModelError, match="adapter of a reward model"):
        merge([tmp_path / "a"], tmp_path / "merged")
    assert not (tmp_path / "merged").exists()


def test_without_its_card_an_adapter_still_finds_its_base(tied: Path, tmp_path: Path) -> None:
    model, tokenizer = open_for_training(str(tied), Tuning("lora", rank=2))
    load.save(model, tokenizer, tmp_path / "step" / "model", stage="sft", base=tied)
    (tmp_path / "step" / "model" / "checkpoint.json").unlink()
    load.open_pair(str(tmp_path / "step" / "model"))


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ("{oops", "no index of weight files"),
        ("{}", "no index of weight files"),
        ("[]", "no index of weight files"),
        ('{"weight_map": {"a": 3}}', "no file beside it"),
        ('{"weight_map": {"a": "../other/model.safetensors"}}', "no file beside it"),
        ('{"weight_map": {"a": "/etc/passwd"}}', "no file beside it"),
        ('{"weight_map": {"a": "nowhere.safetensors"}}', "cannot be read"),
    ],
)
def test_an_index_that_is_none_or_names_files_elsewhere_is_refused(
    tied: Path, tmp_path: Path, index: str, problem: str
) -> None:
    base = Path(shutil.copytree(tied, tmp_path / "base"))
    (base / INDEX).write_text(index, encoding="utf-8")
    with pytest.raises(ModelError, match=problem) as caught:
        take(str(base), tmp_path / "taken", name="base")
    assert str(base) in caught.value.where
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize(
    "header", [b"[1]", b'{"a": {"shape": [1]}}', b'{"a": 3}', b'{"a": {"shape": [1], "data_offsets": []}}']
)
def test_a_spoilt_header_is_refused(tied: Path, tmp_path: Path, header: bytes) -> None:
    base = Path(shutil.copytree(tied, tmp_path / "base"))
    min(base.glob("model-*")).write_bytes(len(header).to_bytes(8, "little") + header)
    with pytest.raises(ModelError, match="cannot be read"):
        take(str(base), tmp_path / "taken", name="base")


def test_a_temperature_without_sampling_does_not_keep_a_model_from_being_saved(tied: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tied, tmp_path / "base"))
    (base / "generation_config.json").write_text('{"temperature": 0.9, "top_p": 0.6}', encoding="utf-8")
    take(str(base), tmp_path / "taken", name="base")
    load.save(*load.open_pair(str(base)), tmp_path / "saved", stage="sft", base=base)
    for folder in (tmp_path / "taken", tmp_path / "saved"):
        assert GenerationConfig.from_pretrained(folder).temperature is None
    (base / "generation_config.json").write_text("{oops", encoding="utf-8")
    with pytest.raises(ModelError, match="generation_config"):
        take(str(base), tmp_path / "other", name="base")


def lines(first: int, last: int, loss: float) -> str:
    return "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step in range(first, last + 1))


def test_curves_follow_metrics_that_are_cut_begun_afresh_spoilt_or_removed(tmp_path: Path) -> None:
    path = tmp_path / "mine" / "sft-0123456789ab" / "metrics.jsonl"
    path.parent.mkdir(parents=True)
    path.write_text(lines(1, 5, 1.0), encoding="utf-8")
    folders = [tmp_path, path.parent, tmp_path / "mine" / ".." / "mine"]
    with Board(folders, tmp_path / "board") as board:
        assert board.update() == 5
        path.write_text(lines(1, 3, 1.0), encoding="utf-8")
        assert board.update() == 0
        path.write_text(lines(1, 3, 1.0) + lines(4, 8, 2.0), encoding="utf-8")
        assert board.update() == 5
        path.write_text(lines(1, 8, 3.0), encoding="utf-8")
        assert board.update() == 8, "begun afresh, and as long as before"
        path.unlink()
        assert board.update() == 0
        path.write_text('{"step": 1, "lo\n[1]\n{"loss": 3}\n{"step": 2, "loss": null}\n', encoding="utf-8")
        assert board.update() == 4
    assert [one.name for one in (tmp_path / "board").iterdir()] == ["mine"]


def test_a_run_of_a_stage_leaves_the_recipes_of_others_alone(tied: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text('{"instruction": "头痛怎么办？", "output": "休息。"}\n', encoding="utf-8")
    _, first = plan_single(Single("sft", str(tied), [data], ["epochs=1"]), runs=tmp_path / "runs")
    before = first.read_text(encoding="utf-8")
    _, second = plan_single(Single("sft", str(tied), [data], ["epochs=2"]), runs=tmp_path / "runs")
    assert first != second
    assert first.read_text(encoding="utf-8") == before


def test_the_folder_of_a_step_is_a_model_to_train(tied: Path, tmp_path: Path) -> None:
    data = tmp_path / "a.jsonl"
    data.write_text('{"instruction": "头痛怎么办？", "output": "休息。"}\n', encoding="utf-8")
    shutil.copytree(tied, tmp_path / "step" / "model")
    made, _ = plan_single(Single("sft", str(tmp_path / "step"), [data]), runs=tmp_path / "runs")
    assert made.recipe.base == str(tmp_path / "step" / "model")


def test_cards_with_similar_names_have_no_peak_of_others() -> None:
    assert peak("NVIDIA A100-SXM4-80GB") == peak("NVIDIA A800-SXM4-80GB")
    assert peak("NVIDIA A10") is not None
    assert [peak(name) for name in ("NVIDIA RTX A1000", "NVIDIA RTX A4000", "NVIDIA RTX A4500")] == [None] * 3
