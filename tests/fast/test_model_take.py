"""A base is taken over without loading it: linked, checked from its headers, the same model afterwards."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.card import content, read_card
from xinglin.model.take import take


@pytest.fixture
def foreign(tiny_folder: Path, tmp_path: Path) -> Path:
    """A bf16 model in several files, as the hub has them."""
    tokenizer = load.open_tokenizer(str(tiny_folder))
    shape: dict[str, Any] = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer) + 38, intermediate_size=64, **shape)).bfloat16()
    model.save_pretrained(tmp_path / "foreign", max_shard_size="60KB")
    tokenizer.save_pretrained(tmp_path / "foreign")
    return tmp_path / "foreign"


def logits(folder: Path) -> torch.Tensor:
    with torch.no_grad():
        return load.open_model(str(folder))(input_ids=torch.tensor([[5, 9, 14, 60]])).logits


def test_weights_are_linked_and_the_model_is_the_same(foreign: Path, tmp_path: Path) -> None:
    parameters, vocabulary = take(str(foreign), tmp_path / "taken", name="foreign")
    files = sorted(foreign.glob("*.safetensors"))
    assert len(files) > 2
    for path in files:
        assert os.path.samefile(path, tmp_path / "taken" / path.name)
    torch.testing.assert_close(logits(tmp_path / "taken"), logits(foreign), rtol=0, atol=0)
    _, tokenizer = load.open_pair(str(tmp_path / "taken"))
    assert vocabulary == len(tokenizer)
    assert parameters == sum(weight.numel() for weight in load.open_model(str(foreign)).parameters())
    card = read_card(tmp_path / "taken")
    assert (card.stage, card.base, card.digest) == ("base", "foreign", content(tmp_path / "taken"))
    plain = AutoModelForCausalLM.from_pretrained(tmp_path / "taken")
    assert plain.generation_config.pad_token_id == tokenizer.pad_token_id


def test_what_is_linked_elsewhere_never_changes_when_a_base_is_taken_again(foreign: Path, tmp_path: Path) -> None:
    before = {path.name: path.read_bytes() for path in foreign.iterdir()}
    take(str(foreign), tmp_path / "taken", name="foreign")
    take(str(foreign), tmp_path / "taken", name="foreign")
    shutil.rmtree(tmp_path / "taken")
    assert {path.name: path.read_bytes() for path in foreign.iterdir()} == before


def test_a_tied_head_may_be_in_the_files_or_not(tiny_folder: Path, tmp_path: Path) -> None:
    take(str(tiny_folder), tmp_path / "one", name="tiny")
    whole = load_file(tiny_folder / "model.safetensors")
    other = Path(shutil.copytree(tiny_folder, tmp_path / "other"))
    name = next(name for name in whole if "embed" in name)
    whole["lm_head.weight"] = whole[name].clone()
    save_file(whole, other / "model.safetensors", metadata={"format": "pt"})
    take(str(other), tmp_path / "two", name="tiny")
    torch.testing.assert_close(logits(tmp_path / "two"), logits(tmp_path / "one"))


def test_a_truncated_file_and_weights_that_do_not_fit_are_refused(foreign: Path, tmp_path: Path) -> None:
    path = max(foreign.glob("*.safetensors"), key=lambda one: one.stat().st_size)
    data = path.read_bytes()
    path.write_bytes(data[:-100])
    with pytest.raises(ModelError, match="its header speaks of") as caught:
        take(str(foreign), tmp_path / "taken", name="foreign")
    assert path.name in caught.value.where
    path.write_bytes(data)
    config = json.loads((foreign / "config.json").read_text(encoding="utf-8"))
    (foreign / "config.json").write_text(json.dumps(config | {"intermediate_size": 48}), encoding="utf-8")
    with pytest.raises(ModelError, match="do not fit"):
        take(str(foreign), tmp_path / "taken", name="foreign")
    (foreign / "config.json").write_text(json.dumps(config), encoding="utf-8")
    path.unlink()
    with pytest.raises(ModelError, match="cannot be read"):
        take(str(foreign), tmp_path / "taken", name="foreign")
