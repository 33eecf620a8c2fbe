"""What is trained is what was asked for, an adapter opens on its own base only, and merging changes nothing."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForSequenceClassification,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from xinglin import files
from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.adapter import Tuning, linear_names, open_for_training, trainable
from xinglin.model.card import CARD, fingerprint, read_card
from xinglin.model.merge import merge
from xinglin.model.rewarder import Rewarder
from xinglin.train.curves import read_metrics
from xinglin.train.fit import Schedule
from xinglin.train.preference import Pull, align
from xinglin.train.reward import reward
from xinglin.train.sft import sft
from xinglin.types import Preference, Sample

SEVEN = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
PLAN = Schedule(epochs=2, batch=2, rate=1e-2, seed=5, length=128)
LORA = Tuning("lora", rank=4, alpha=8)


@pytest.fixture(scope="module")
def bases(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, threads: None) -> dict[str, Path]:
    """Small models of three architectures, with tied and untied output layers."""
    torch.manual_seed(0)
    tokenizer = load.open_tokenizer(str(tiny_folder))
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer), "hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4,
        "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 256,
    }  # fmt: skip
    made = {
        "llama": LlamaForCausalLM(LlamaConfig(**shape)),
        "llama-tied": LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=True)),
        "mistral": MistralForCausalLM(MistralConfig(**shape)),
        "qwen3": Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=8)),
        "qwen3-tied": Qwen3ForCausalLM(Qwen3Config(**shape, head_dim=8, tie_word_embeddings=True)),
    }
    root = tmp_path_factory.mktemp("bases")
    for name, model in made.items():
        load.save(model, tokenizer, root / name, stage="base", base="here")
    return {name: root / name for name in made}


NAMES = ("llama", "llama-tied", "mistral", "qwen3", "qwen3-tied")


def logits(model: Any) -> torch.Tensor:
    ids = torch.tensor([[5, 9, 14, 60, 7, 33]], device=next(model.parameters()).device)
    with torch.no_grad():
        return model.eval()(input_ids=ids, use_cache=False).logits.float()


@pytest.mark.parametrize("name", NAMES)
def test_an_adapter_stands_beside_all_seven_linear_layers_of_every_layer_and_nothing_else(
    name: str, bases: dict[str, Path]
) -> None:
    model, _ = open_for_training(str(bases[name]), LORA)
    assert linear_names(load.open_model(str(bases[name]))) == SEVEN
    trained = {key for key, weight in model.named_parameters() if weight.requires_grad}
    assert len(trained) == 3 * 7 * 2
    assert all("lora_" in key for key in trained)
    some, every = trainable(model)
    assert 0 < some < every


def test_each_way_trains_what_it_names(bases: dict[str, Path]) -> None:
    def names(tuning: Tuning, base: str) -> set[str]:
        model, _ = open_for_training(str(bases[base]), tuning)
        return {key for key, weight in model.named_parameters() if weight.requires_grad}

    every = names(Tuning(), "llama")
    assert {"model.embed_tokens.weight", "lm_head.weight", "model.norm.weight"} <= every
    frozen = names(Tuning("freeze"), "llama")
    assert frozen == {key for key in every if key.startswith(("model.layers.1.", "model.layers.2."))}
    assert names(Tuning("embeddings"), "llama") == {"model.embed_tokens.weight", "lm_head.weight"}
    assert names(Tuning("embeddings"), "llama-tied") == {"model.embed_tokens.weight"}
    both = names(Tuning("lora", embeddings=True), "llama")
    assert {key.split(".")[-4] for key in both if "modules_to_save" in key} == {"embed_tokens", "lm_head"}
    dora = names(Tuning("dora"), "qwen3")
    assert sum("magnitude" in key for key in dora) == 21
    some = names(Tuning("lora", targets=("q_proj", "v_proj")), "mistral")
    assert len(some) == 3 * 2 * 2


def test_a_target_that_does_not_exist_is_an_error_that_lists_those_that_do(bases: dict[str, Path]) -> None:
    with pytest.raises(ModelError, match="'W_pack'") as caught:
        open_for_training(str(bases["llama"]), Tuning("lora", targets=("q_proj", "W_pack")))
    assert ", ".join(SEVEN) in caught.value.fix


@pytest.mark.parametrize(
    ("name", "tuning"),
    [
        ("llama", LORA),
        ("qwen3-tied", Tuning("lora", rank=4, embeddings=True)),
        ("llama", Tuning("lora", rank=4, embeddings=True)),
        ("mistral", Tuning("dora", rank=4)),
    ],
)
def test_a_trained_adapter_is_saved_alone_opens_on_its_base_and_merges_without_a_difference(
    name: str, tuning: Tuning, bases: dict[str, Path], samples: list[Sample], tmp_path: Path
) -> None:
    before = files.digest_folder(bases[name])
    sft(bases[name], samples[:8], tmp_path / "sft", schedule=PLAN, tuning=tuning)
    assert files.digest_folder(bases[name]) == before
    folder = tmp_path / "sft" / "model"
    assert (folder / "adapter_model.safetensors").is_file()
    assert not (folder / "model.safetensors").exists()
    assert not (folder / "README.md").exists()
    card = read_card(folder)
    assert (card.adapter, (folder / card.base).resolve()) == ("lora", bases[name].resolve())
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    assert not Path(settings["base_model_name_or_path"]).is_absolute(), "a run's files are the same wherever it is"
    opened, _ = load.open_pair(str(folder))
    base = load.open_model(str(bases[name]))
    assert (logits(opened) - logits(base)).abs().max() > 1e-3, "the adapter must matter here"
    tied = base.config.tie_word_embeddings
    assert (opened.get_output_embeddings().weight is opened.get_input_embeddings().weight) == tied  # type: ignore[union-attr]
    worst = merge([folder], tmp_path / "merged")
    assert worst <= 1e-4
    torch.testing.assert_close(logits(load.open_model(str(tmp_path / "merged"))), logits(opened), rtol=0, atol=1e-5)


def test_two_adapters_are_merged_in_order_and_a_stage_can_stand_on_an_adapter(
    bases: dict[str, Path], samples: list[Sample], tmp_path: Path
) -> None:
    first, second = tmp_path / "one" / "model", tmp_path / "two" / "model"
    sft(bases["llama"], samples[:6], first.parent, schedule=PLAN, tuning=LORA)
    pairs = [
        Preference(f"p{at}", one.messages[:1], one.messages[1].content, "不知道。", one.origin)
        for at, one in enumerate(samples[:6])
    ]
    align(first, pairs, second.parent, pull=Pull("dpo"), schedule=PLAN, tuning=LORA)
    assert read_card(second).base_digest == fingerprint(first)
    stacked = logits(load.open_model(str(second)))
    assert merge([first, second], tmp_path / "merged", base=str(bases["llama"])) <= 1e-4
    torch.testing.assert_close(logits(load.open_model(str(tmp_path / "merged"))), stacked, rtol=0, atol=1e-5)
    assert (stacked - logits(load.open_model(str(first)))).abs().max() > 1e-3


def test_a_reward_model_can_be_an_adapter(bases: dict[str, Path], samples: list[Sample], tmp_path: Path) -> None:
    pairs = [
        Preference(f"p{at}", one.messages[:1], one.messages[1].content, "不知道。", one.origin)
        for at, one in enumerate(samples[:10])
    ]
    plan = Schedule(epochs=12, batch=2, rate=1e-2, seed=5, length=128)
    reward(bases["llama"], pairs, tmp_path, schedule=plan, tuning=LORA)
    assert (tmp_path / "model" / "adapter_model.safetensors").is_file()
    assert min(Rewarder(tmp_path / "model").margins(pairs)) > 0


def test_another_base_than_the_adapters_own_is_refused(
    bases: dict[str, Path], samples: list[Sample], tmp_path: Path
) -> None:
    base = tmp_path / "base"
    shutil.copytree(bases["llama"], base)
    sft(base, samples[:6], tmp_path / "sft", schedule=PLAN, tuning=LORA)
    folder = tmp_path / "sft" / "model"
    shutil.rmtree(base)
    with pytest.raises(ModelError, match="no such model folder"):
        load.open_pair(str(folder))
    other = load.open_model(str(bases["llama"]))
    with torch.no_grad():
        next(other.parameters()).add_(0.5)
    load.save(other, load.open_tokenizer(str(bases["llama"])), base, stage="base", base="here")
    with pytest.raises(ModelError, match="not the base that the adapter was trained on") as caught:
        load.open_pair(str(folder))
    assert caught.value.code == 4
    with pytest.raises(ModelError, match="not the base that the adapter was trained on"):
        merge([folder], tmp_path / "merged", base=str(_smaller(bases["llama"], tmp_path)))
    assert not (tmp_path / "merged").exists()


def _smaller(base: Path, root: Path) -> Path:
    tokenizer = load.open_tokenizer(str(base))
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32
    )
    load.save(LlamaForCausalLM(config), tokenizer, root / "smaller", stage="base", base="here")
    return root / "smaller"


def _spoil_pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").rename(folder / "adapter_model.bin")


def _spoil_no_card(folder: Path) -> None:
    (folder / CARD).unlink()
    settings = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    files.write_json(folder / "adapter_config.json", settings | {"base_model_name_or_path": None})


@pytest.mark.parametrize(
    ("spoil", "problem"), [(_spoil_pickled, "no safetensors weights"), (_spoil_no_card, "names no base")]
)
def test_a_foreign_adapter_that_cannot_be_trusted_is_refused(
    spoil: Callable[[Path], None], problem: str, bases: dict[str, Path], samples: list[Sample], tmp_path: Path
) -> None:
    sft(bases["llama"], samples[:4], tmp_path, schedule=PLAN, tuning=LORA)
    spoil(tmp_path / "model")
    with pytest.raises(ModelError, match=problem) as caught:
        load.open_model(str(tmp_path / "model"))
    assert caught.value.fix


def test_merging_needs_adapters_that_do_something(bases: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="holds no adapter"):
        merge([bases["llama"]], tmp_path / "merged")
    model, tokenizer = open_for_training(str(bases["llama"]), LORA)
    load.save(model, tokenizer, tmp_path / "untrained", stage="sft", base=bases["llama"])
    with pytest.raises(ModelError, match="changes nothing"):
        merge([tmp_path / "untrained"], tmp_path / "merged")


def test_qlora_trains_on_four_bits_and_its_adapter_opens_on_the_whole_base(
    bases: dict[str, Path], samples: list[Sample], tmp_path: Path
) -> None:
    pytest.importorskip("bitsandbytes", reason="qlora needs bitsandbytes: pip install 'xinglin[quant]'")
    model, _ = open_for_training(str(bases["llama"]), Tuning("qlora", rank=4))
    assert {type(part).__name__ for name, part in model.named_modules() if name.endswith("base_layer")} == {
        "Linear4bit"
    }
    plan = Schedule(epochs=20, batch=2, rate=2e-2, seed=5, length=128)
    losses = {}
    for method in ("lora", "qlora"):
        tuning = Tuning(method, rank=4)
        sft(bases["llama"], samples[:8], tmp_path / method, schedule=plan, tuning=tuning)
        losses[method] = read_metrics(tmp_path / method / "metrics.jsonl")["loss"]
        # A frozen random output layer leaves little to learn.
        assert losses[method][-1] < 0.99 * losses[method][0]
    assert losses["qlora"][-1] == pytest.approx(losses["lora"][-1], rel=0.05)
    opened = load.open_model(str(tmp_path / "qlora" / "model"))
    assert next(opened.parameters()).dtype == load.dtype()
    with pytest.raises(ModelError, match="cannot stand on another adapter"):
        open_for_training(str(tmp_path / "qlora" / "model"), Tuning("qlora"))


def test_a_reward_head_is_trained_beside_frozen_layers(bases: dict[str, Path]) -> None:
    options: dict[str, Any] = {"kind": AutoModelForSequenceClassification, "num_labels": 1, "fresh": ["score.weight"]}
    model, _ = open_for_training(str(bases["llama"]), Tuning("freeze"), **options)
    assert model.score.weight.requires_grad  # type: ignore[union-attr]
