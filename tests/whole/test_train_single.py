"""One stage on files: the same as the recipe it writes, and its curves for TensorBoard."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event  # type: ignore[attr-defined] - made by protobuf

from xinglin import files
from xinglin.cli import invoke
from xinglin.errors import DataError, EngineError, ModelError, RecipeError
from xinglin.recipe import run as recipe_run
from xinglin.recipe.manifest import read_manifest
from xinglin.recipe.models import weights_of
from xinglin.recipe.plan import plan
from xinglin.recipe.read import read_recipe
from xinglin.recipe.single import NOUNS, Single, plan_single
from xinglin.train.board import Board


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "问答.jsonl"
    rows = [
        {"instruction": f"第{at}种药的禁忌是什么？", "input": "", "output": f"第{at}类患者禁用。"} for at in range(6)
    ]
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def test_a_stage_on_files_is_the_recipe_that_it_writes(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    single = Single(
        "sft",
        str(tiny_folder),
        [data],
        settings=["rate=1e-3", "tune=lora", "lora.rank=2", "seed=11", "data.licence=internal"],
    )
    made, path = plan_single(single, runs=tmp_path / "runs")
    recipe_run.run(made, watcher=recipe_run.Silent())
    folder = made.folder("sft")
    assert (folder / "model" / "adapter_model.safetensors").is_file()
    manifest = read_manifest(folder)
    assert manifest is not None
    assert manifest.numbers["samples"] == 6
    again = plan(read_recipe(path), root=tmp_path, runs=tmp_path / "runs")
    assert [step.digest for step in again.steps] == [step.digest for step in made.steps]
    assert all(step.done for step in again.steps)
    assert (again.recipe.seed, again.recipe.steps["sft"].lora.rank) == (11, 2)  # type: ignore[union-attr]


@pytest.mark.parametrize("stage", NOUNS)
def test_every_stage_that_can_stand_alone_can_be_planned(
    stage: str, data: Path, tiny_folder: Path, tmp_path: Path
) -> None:
    settings = ["verify={form: 1}"] if stage in ("ppo", "grpo", "rloo") else []
    made, _ = plan_single(Single(stage, str(tiny_folder), [data], settings=settings), runs=tmp_path / "runs")
    assert [step.name for step in made.steps] == ["data", "base", stage]


def test_mistakes_name_what_is_wrong_and_train_nothing(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    base = str(tiny_folder)
    with pytest.raises(RecipeError, match="no stage 'sfft'") as caught:
        plan_single(Single("sfft", base, [data]), runs=tmp_path / "runs")
    assert "did you mean 'sft'?" in caught.value.fix
    with pytest.raises(RecipeError, match=r"unknown key 'steps\.sft\.epoch'") as caught:
        plan_single(Single("sft", base, [data], settings=["epoch=2"]), runs=tmp_path / "runs")
    assert caught.value.where == "--set sft.epoch=2"
    with pytest.raises(RecipeError, match="'base' cannot be set here"):
        plan_single(Single("sft", base, [data], settings=["base=tiny"]), runs=tmp_path / "runs")
    with pytest.raises(DataError, match="no such file"):
        plan_single(Single("sft", base, [tmp_path / "nothing.jsonl"]), runs=tmp_path / "runs")


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """What an event file holds, read without the writer: length, checksum, record, checksum."""
    found: dict[str, list[tuple[int, float]]] = {}
    for path in sorted(folder.glob("events.*")):
        left = path.read_bytes()
        while left:
            size = int.from_bytes(left[:8], "little")
            event = Event.FromString(left[12 : 12 + size])
            left = left[16 + size :]
            for value in event.summary.value:
                found.setdefault(value.tag, []).append((event.step, value.simple_value))
    return found


def test_curves_reach_tensorboard_while_training_goes_on(tmp_path: Path) -> None:
    step = tmp_path / "runs" / "mine" / "sft-0123456789ab"
    files.write_text(step / "metrics.jsonl", '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 3.')
    with Board([tmp_path / "runs"], tmp_path / "board") as board:
        assert board.update() == 1
        assert board.update() == 0
        files.write_text(step / "metrics.jsonl", '{"step": 1, "loss": 3.5}\n{"step": 2, "loss": 3.25, "norm": 1}\n')
        assert board.update() == 1
    written = scalars(tmp_path / "board" / "mine" / "sft-0123456789ab")
    assert written == {"loss": [(1, 3.5), (2, 3.25)], "norm": [(2, 1.0)]}
    shutil.rmtree(step)
    with pytest.raises(DataError, match="nothing has been trained"):
        Board([tmp_path / "runs"], tmp_path / "board")


def test_without_tensorboardx_the_command_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(EngineError, match="needs tensorboardX") as caught:
        Board([tmp_path], tmp_path / "board")
    assert "xinglin[tensorboard]" in caught.value.fix


def test_a_reward_that_needs_other_steps_is_sent_to_a_recipe(data: Path, tiny_folder: Path, tmp_path: Path) -> None:
    for settings in ([], ["reward=rm"], ["verify={facts: 1}"]):
        with pytest.raises(RecipeError) as caught:
            plan_single(Single("grpo", str(tiny_folder), [data], settings=settings), runs=tmp_path / "runs")
        assert "--set 'verify={form: 1, safety: 1}'" in caught.value.fix
        assert "recipe" in caught.value.fix


def test_commands_for_models_take_the_folder_of_a_step(tiny_folder: Path, tmp_path: Path) -> None:
    assert weights_of(str(tiny_folder.parent)) == str(tiny_folder)
    assert weights_of(str(tiny_folder)) == str(tiny_folder)
    text = tmp_path / "book.txt"
    text.write_text("安络宁适应症安络宁适应症\n" * 9, encoding="utf-8")
    with pytest.raises(DataError, match=r"no frequent words|no text"):  # opened, and learnt nothing from this
        invoke(["model", "vocab", str(tiny_folder.parent), str(text), "-o", str(tmp_path / "wide")])
    with pytest.raises(ModelError, match="holds no adapter") as caught:
        invoke(["model", "merge", str(tiny_folder.parent), "-o", str(tmp_path / "merged")])
    assert caught.value.where == str(tiny_folder)
    with pytest.raises(DataError, match="this is a file"):
        invoke(["model", "merge", str(tiny_folder.parent), "-o", str(text)])
