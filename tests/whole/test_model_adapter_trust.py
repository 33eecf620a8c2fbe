"""Nothing of an adapter is taken on trust: its files, its weights, its base, its order and its vocabulary."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PromptTuningConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import LlamaConfig, LlamaForCausalLM

from xinglin import files
from xinglin.errors import ModelError
from xinglin.model import card, load
from xinglin.model.adapter import Tuning, open_for_training
from xinglin.model.card import CARD, WEIGHTS, fingerprint
from xinglin.model.merge import merge
from xinglin.train.fit import Schedule
from xinglin.train.sft import sft
from xinglin.types import Sample

PLAN = Schedule(epochs=1, batch=2, rate=1e-2, seed=5, length=128, warmup=0)
LORA = Tuning("lora", rank=2, alpha=4)


@pytest.fixture(scope="module")
def made(tiny_folder: Path, tmp_path_factory: pytest.TempPathFactory, samples: list[Sample], threads: None) -> Path:
    """A folder with a `base`, an adapter on it (`one/model`), and one on that (`two/model`)."""
    torch.manual_seed(0)
    root = tmp_path_factory.mktemp("adapters")
    tokenizer = load.open_tokenizer(str(tiny_folder))
    shape: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), intermediate_size=32, **shape))
    load.save(model, tokenizer, root / "base", stage="base", base="here")
    sft(root / "base", samples[:4], root / "one", schedule=PLAN, tuning=LORA)
    sft(root / "one" / "model", samples[4:8], root / "two", schedule=PLAN, tuning=LORA)
    return root


@pytest.fixture
def here(made: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    return Path(shutil.copytree(made, tmp_path / "copy"))


@contextmanager
def refused(problem: str) -> Iterator[None]:
    with pytest.raises(ModelError, match=problem) as caught:
        yield
    assert caught.value.where
    assert caught.value.fix
    assert caught.value.code == 4


def weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    found = load_file(folder / WEIGHTS)
    change(found)
    save_file(found, folder / WEIGHTS, metadata={"format": "pt"})


def settings(folder: Path, **changed: object) -> None:
    path = folder / "adapter_config.json"
    files.write_json(path, json.loads(path.read_text(encoding="utf-8")) | changed)


def test_a_base_that_was_altered_under_its_card_is_refused(here: Path) -> None:
    path = here / "base" / "model.safetensors"
    found = load_file(path)
    found["model.layers.0.mlp.up_proj.weight"][3, 3] += 1
    save_file(found, path, metadata={"format": "pt"})
    with refused("not the base that the adapter was trained on"):
        load.open_pair(str(here / "one" / "model"))
    with refused("not the base that the adapter was trained on"):
        load.open_pair(str(here / "two" / "model"))


def test_large_weight_files_are_told_apart_by_a_change_that_training_makes(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(card, "_WHOLE", 0)
    monkeypatch.setattr(card, "_BLOCKS", 8)
    monkeypatch.setattr(card, "_BLOCK", 64)
    base, path = here / "base", here / "base" / "model.safetensors"
    first = fingerprint(base)
    assert fingerprint(base) == first
    data = bytearray(path.read_bytes())
    size = int.from_bytes(data[:8], "little")
    start = 8 + size
    trained = bytearray(data)
    for at in range(start, len(trained), 4):
        trained[at] ^= 1
    renamed = bytearray(data)
    renamed[start - 40] ^= 1
    for changed in (trained, renamed, data[:-1], data + b"\0"):
        path.write_bytes(changed)
        assert fingerprint(base) != first
    path.write_bytes(data)
    assert fingerprint(base) == first


def test_notes_may_be_added_to_an_adapter_but_nothing_that_is_read_may_change(here: Path) -> None:
    folder = here / "one" / "model"
    (folder / "README.md").write_text("# 说明", encoding="utf-8")
    load.open_pair(str(folder))
    settings(folder, lora_alpha=400)
    with refused("not those that were saved"):
        load.open_pair(str(folder))


def _nan(found: dict[str, torch.Tensor]) -> None:
    next(iter(found.values()))[0, 0] = float("nan")


def _half(found: dict[str, torch.Tensor]) -> None:
    for name in list(found)[::2]:
        del found[name]


def _strange(found: dict[str, torch.Tensor]) -> None:
    found["base_model.model.model.layers.9.mlp.up_proj.lora_A.weight"] = torch.ones(2, 16)


@pytest.mark.parametrize(
    ("change", "problem"),
    [(_nan, "not finite"), (_half, "lacks .* weights, the first is"), (_strange, "has too much: 1 weights")],
)
@pytest.mark.parametrize("carded", [True, False])
def test_an_adapter_with_other_weights_than_it_should_have_is_refused(
    change: Callable[[dict[str, torch.Tensor]], None], problem: str, carded: bool, here: Path
) -> None:
    folder = here / "one" / "model"
    weights(folder, change)
    if not carded:
        (folder / CARD).unlink()
        settings(folder, base_model_name_or_path=str(here / "base"))
    for open_it in (lambda: load.open_pair(str(folder)), lambda: merge([folder], here / "merged")):
        with refused(problem if not carded else "not those that were saved"):
            open_it()
    assert not (here / "merged").exists()


def test_a_foreign_adapter_that_cannot_be_read_is_refused_without_a_traceback(here: Path) -> None:
    folder = here / "one" / "model"
    (folder / CARD).unlink()
    settings(folder, base_model_name_or_path=str(here / "base"))
    load.open_pair(str(folder))
    kept = {name: (folder / name).read_bytes() for name in (WEIGHTS, "adapter_config.json")}
    (folder / WEIGHTS).write_bytes(kept[WEIGHTS][: len(kept[WEIGHTS]) // 2])
    with refused("weights cannot be read"):
        load.open_pair(str(folder))
    (folder / WEIGHTS).write_bytes(kept[WEIGHTS])
    (folder / "adapter_config.json").write_bytes(kept["adapter_config.json"][:100])
    with refused("not valid JSON"):
        load.open_pair(str(folder))


def test_an_adapter_of_another_kind_is_refused(here: Path) -> None:
    model, tokenizer = load.open_pair(str(here / "base"))
    prompted: Any = get_peft_model(
        model,
        PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2, base_model_name_or_path=str(here / "base")),
    )
    prompted.save_pretrained(here / "prompt")
    tokenizer.save_pretrained(here / "prompt")
    settings(here / "prompt", base_model_name_or_path=str(here / "base"))
    with refused("an adapter of the kind 'PROMPT_TUNING'"):
        load.open_pair(str(here / "prompt"))
    with refused("an adapter of the kind 'PROMPT_TUNING'"):
        merge([here / "prompt"], here / "merged")


def test_merging_names_a_wrong_base_and_a_wrong_order(here: Path) -> None:
    one, two = here / "one" / "model", here / "two" / "model"
    other, tokenizer = load.open_pair(str(here / "base"))
    with torch.no_grad():
        other.get_input_embeddings().weight.mul_(1.5)  # type: ignore[operator, union-attr]
    load.save(other, tokenizer, here / "other", stage="base", base="here")
    with refused("not the base that the adapter was trained on"):
        merge([one], here / "merged", base=str(here / "other"))
    with refused("not the base that the adapter was trained on"):
        merge([two, one], here / "merged", base=str(here / "base"))
    with refused("was not trained on top of"):
        merge([one, one], here / "merged")
    assert not (here / "merged").exists()
    assert merge([one, two], here / "merged") <= 1e-4


def bare(folder: Path, base: Path) -> None:
    """Make an adapter one of another program's, which has no card."""
    (folder / CARD).unlink()
    settings(folder, base_model_name_or_path=str(base))


def test_an_adapter_whose_vocabulary_is_another_is_refused_by_name_of_the_token(here: Path) -> None:
    one = here / "one" / "model"
    bare(one, here / "base")
    path = one / "tokenizer.json"
    whole = json.loads(path.read_text(encoding="utf-8"))
    vocab = whole["model"]["vocab"]
    first, second = [token for token, number in vocab.items() if number in (300, 301)]
    vocab[first], vocab[second] = vocab[second], vocab[first]
    path.write_text(json.dumps(whole, ensure_ascii=False), encoding="utf-8")
    with refused("the adapter's vocabulary is not its base's"):
        merge([one], here / "merged")
    with refused("the adapter's vocabulary is not its base's"):
        load.open_pair(str(one))
    assert not (here / "merged").exists()


def test_a_vocabulary_may_grow_at_the_first_or_a_later_adapter(here: Path) -> None:
    # As ChatMed and QiZhen's sources did it: embeddings enlarged in memory, saved with the adapter.
    one, grown = here / "one" / "model", here / "grown"
    model, tokenizer = load.open_pair(str(one))
    rows = model.get_input_embeddings().weight.shape[0]  # type: ignore[union-attr]
    tokenizer.add_tokens(["阿司匹林肠溶片", "幽门螺杆菌"])
    model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
    config = LoraConfig(
        r=2, target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"], task_type="CAUSAL_LM"
    )
    wrapped: Any = get_peft_model(model, config)
    with torch.no_grad():
        for name, weight in wrapped.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.5)
    wrapped.save_pretrained(grown)
    tokenizer.save_pretrained(grown)
    settings(grown, base_model_name_or_path=str(one))
    expected = wrapped(input_ids=torch.tensor([[5, 9, rows, rows + 1, 7]])).logits
    opened, _ = load.open_pair(str(grown))
    torch.testing.assert_close(opened(input_ids=torch.tensor([[5, 9, rows, rows + 1, 7]])).logits, expected)
    assert merge([one, grown], here / "merged") <= 1e-4
    merged, _ = load.open_pair(str(here / "merged"))
    torch.testing.assert_close(merged(input_ids=torch.tensor([[5, 9, rows, rows + 1, 7]])).logits, expected)


def test_what_is_trained_is_fp32_beside_a_bf16_base_and_the_rest_stays_bf16(made: Path) -> None:
    model, _ = open_for_training(str(made / "base"), Tuning("lora", rank=2, embeddings=True), precision=torch.bfloat16)
    kinds = {(weight.requires_grad, weight.dtype) for weight in model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    with torch.autocast("cpu", torch.bfloat16):
        model(input_ids=torch.tensor([[5, 9, 14]])).logits.float().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters() if weight.requires_grad)


def test_four_bit_layers_never_take_the_kernel_that_spoils_their_gradients(made: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="qlora needs bitsandbytes: pip install 'xinglin[quant]'")
    model, _ = open_for_training(str(made / "base"), Tuning("qlora", rank=2))
    flags = [part.support_avx512bf16_for_cpu for part in model.modules() if hasattr(part, "support_avx512bf16_for_cpu")]
    assert flags
    assert not any(flags)
    frozen = {weight.dtype for name, weight in model.named_parameters() if "embed_tokens" in name}
    assert frozen == {load.dtype()}
