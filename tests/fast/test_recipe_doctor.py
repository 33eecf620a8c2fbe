"""The doctor sees what would go wrong: disagreeing files, lost end tokens, too little memory."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from small_world import DATA, make
from xinglin.model import load
from xinglin.model.machine import look
from xinglin.model.render import Template
from xinglin.recipe.doctor import Diagnosis, examine, machine
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import Silent, run
from xinglin.train.preflight import faults, inspect
from xinglin.types import Message, Sample

CHAIN = DATA + "  sft: {do: sft, model: base, data: qa, length: LENGTH, lora: {rank: 4}}\n"


def found(plan: Plan, what: str) -> Diagnosis:
    return next(one for one in examine(plan) if what in one.what)


def test_the_machine_is_described(tmp_path: Path) -> None:
    told = machine(tmp_path / "not" / "there")
    assert [one.level for one in told].count("fail") == 0
    assert any("torch 2." in one.detail for one in told)
    seen = look(tmp_path)
    assert seen.processors >= 1
    assert 0.5 < seen.memory < 100_000
    assert seen.training <= max([seen.memory, *(size for _, size in seen.accelerators)])


def test_a_step_whose_data_is_not_there_yet_says_what_to_run(tmp_path: Path) -> None:
    plan = make(tmp_path, CHAIN.replace("LENGTH", "64"))
    one = found(plan, "sft 数据")
    assert one.level == "warn"
    assert "--until qa" in one.fix


def test_what_becomes_of_the_conversations_is_told(tmp_path: Path) -> None:
    made = make(tmp_path, CHAIN.replace("LENGTH", "64"))
    run(made, watcher=Silent(), until="base")
    fine = found(make(tmp_path, CHAIN.replace("LENGTH", "64")), "sft 数据")
    assert fine.level == "ok"
    assert "100.0%" in fine.detail
    longest = int(fine.detail.rpartition("longest ")[2])
    short = found(make(tmp_path, CHAIN.replace("LENGTH", str(longest - 1))), "sft 数据")
    assert "dropped 0" not in short.detail
    assert short.level == "warn"
    assert "length" in short.fix
    none = found(make(tmp_path, CHAIN.replace("LENGTH", "16")), "sft 数据")
    assert (none.level, none.detail) == ("fail", "no trainable sample is left")
    assert found(make(tmp_path, CHAIN.replace("LENGTH", "64")), "base 模型").level == "ok"


def test_files_that_disagree_fail(tiny_folder: Path, tmp_path: Path) -> None:
    base = tmp_path / "base"
    shutil.copytree(tiny_folder, base)
    tokenizer = load.open_tokenizer(str(base))
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(settings | {"eos_token_id": 7}))
    plan = make(tmp_path, CHAIN.replace("LENGTH", "64") + "base: base\n")
    one = found(plan, "base 模型")
    assert one.level == "fail"
    assert "eos_token_id is 7" in one.detail
    config = load.open_config(str(base))
    assert "the embeddings 5 rows" in faults(config, Template(tokenizer), rows=5)[0]


def test_too_little_memory_is_a_warning_with_a_way_out(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "base")
    text = CHAIN.replace("LENGTH", "131_072").replace("lora: {rank: 4}", "batch: 4000") + "base: base\n"
    one = found(make(tmp_path, text), "sft 内存")
    assert one.level == "warn"
    assert "micro: 1" in one.fix
    fine = found(make(tmp_path, CHAIN.replace("LENGTH", "64") + "base: base\n"), "sft 内存")
    assert fine.level == "ok"


def test_several_processes_are_shown_with_their_command(tmp_path: Path) -> None:
    plan = make(tmp_path, CHAIN.replace("LENGTH", "64") + "launch: {processes: 4, nodes: 2}\n")
    assert "--nnodes=2" in found(plan, "sft 多进程").detail


def test_every_kept_conversation_ends_and_long_ones_are_counted(tiny_folder: Path, samples: list[Sample]) -> None:
    template = Template(load.open_tokenizer(str(tiny_folder)))
    talk = (*samples[0].messages, *samples[1].messages, *samples[2].messages)
    long = Sample("long", talk, samples[0].origin)
    hopeless = Sample("hopeless", (Message("user", "问"), Message("assistant", "答" * 500)), samples[0].origin)
    seen = inspect([*samples[:5], long, hopeless], template, length=48)
    assert (seen.samples, seen.dropped, seen.shortened, seen.ended) == (7, 1, 1, 6)
    assert 0 < seen.targets < 1
    assert seen.longest > 400


@pytest.mark.parametrize("name", ["heal", "ivy", "chatmed", "qizhen", "chimed", "own-base", "quickstart"])
def test_every_shipped_recipe_is_well_formed(name: str) -> None:
    from xinglin.recipe.read import read_recipe

    recipe = read_recipe(Path(__file__).parents[2] / "recipes" / f"{name}.yaml", settings=["base=tiny"])
    assert recipe.name == name
    assert recipe.serve
