"""Mistakes in training steps stop a recipe before anything runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from small_world import DATA, digests, make
from xinglin import files
from xinglin.errors import GateError, RecipeError
from xinglin.recipe.context import Context
from xinglin.recipe.gate import check_judge
from xinglin.recipe.manifest import Manifest
from xinglin.recipe.parallel import write_job
from xinglin.recipe.plan import plan
from xinglin.recipe.read import read_recipe
from xinglin.recipe.schema import Recipe
from xinglin.recipe.training import Grouped, Sft


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("{do: sft, model: base, data: qa, lora: {rank: 8}, tune: freeze}", "lora has no effect with tune: freeze"),
        ("{do: sft, model: base, data: qa, lora: {rnak: 8}}", "unknown key"),
        ("{do: sft, model: base, data: qa, patience: 2}", "patience needs held-out data"),
        ("{do: dpo, model: base, data: dealt, gamma: 1}", "gamma has no effect with do: dpo"),
        ("{do: ppo, model: base, prompts: qa}", "nothing rewards the answers"),
        ("{do: grpo, model: base, prompts: qa, verify: {facts: 1}}", "need the key knowledge"),
        ("{do: grpo, model: base, prompts: qa, verify: {fact: 1}, knowledge: kb}", "fact"),
        ("{do: grpo, model: base, prompts: books, verify: {form: 1}}", "needs prompts"),
        ("{do: reward, model: base, data: qa}", "needs comparisons"),
        ("{do: sft, model: base, data: qa, batch: 5, micro: 2}", "no multiple of micro"),
        ("{do: grpo, model: base, prompts: qa, verify: {form: 1}, knowledge: kb}", "knowledge has no effect"),
        ("{do: ppo, model: base, prompts: qa, verify: {form: 1}, beta: 0, target: 3}", "target has no effect"),
        ("{do: sft, model: base, data: qa}\n  more: {do: merge, model: wrong}", "trains no adapter"),
        (
            "{do: sft, model: base, data: qa, tune: lora}\n  more: {do: sft, model: wrong, data: qa, tune: qlora}",
            "is qlora on the adapter",
        ),
        (
            "{do: reward, model: base, data: dealt}\n"
            "  more: {do: reject, model: base, reward: wrong, prompts: qa, top: 5, keep: 2}",
            "keep has no effect",
        ),
        ("{do: contrast, model: base, prompts: qa}", "nothing rewards the answers"),
        ("{do: contrast, model: base, prompts: books, verify: {form: 1}}", "needs prompts"),
        ("{do: contrast, model: base, prompts: qa, verify: {form: 1}, gap: 0}", "gap"),
        ("{do: contrast, model: base, prompts: qa, verify: {form: 0.2, safety: 0.2}}", "differ by 0.4 at most"),
        (
            "{do: contrast, model: base, prompts: qa, verify: {form: 1}}\n  more: {do: sft, model: wrong, data: qa}",
            "model needs model, but 'wrong' makes preferences",
        ),
        ("{do: reject, model: base, reward: base, prompts: qa}", "needs reward model"),
        ("{do: reject, model: base, prompts: qa}", "nothing rewards the answers"),
        ("{do: reject, model: base, prompts: qa, verify: {facts: 1}}", "need the key knowledge"),
        (
            "{do: reject, model: base, prompts: qa, verify: {form: 0.5, safety: 9}, floor: 0.6}",
            r"no answer can reach floor \(0\.6\): the verifiers in verify give 0\.5 at most",
        ),
        (
            "{do: sft, model: base, data: qa}\nlaunch: {strategy: zero2, offload: true}",
            "strategy: zero2 has no effect on one process",
        ),
    ],
)
def test_a_mistake_in_a_training_step_stops_before_anything_runs(line: str, problem: str, tmp_path: Path) -> None:
    files.write_text(tmp_path / "recipe.yaml", f"{DATA}  wrong: {line}\n")
    with pytest.raises(RecipeError, match=problem) as caught:
        read_recipe(tmp_path / "recipe.yaml")
    assert "recipe.yaml:" in caught.value.where
    assert caught.value.code == 2


def test_a_verifier_is_set_by_its_name(tmp_path: Path) -> None:
    files.write_text(tmp_path / "recipe.yaml", f"{DATA}  rl: {{do: grpo, model: base, prompts: qa}}\n")
    recipe = read_recipe(tmp_path / "recipe.yaml", settings=["rl.verify.form=1", "rl.verify.safety=0.5"])
    step = recipe.steps["rl"]
    assert isinstance(step, Grouped)
    assert step.verify == {"form": 1, "safety": 0.5}


def test_a_floor_is_the_full_reward_of_the_verifiers_or_below_a_reward_models(tmp_path: Path) -> None:
    rows = (
        "  rm: {do: reward, model: base, data: dealt}\n"
        "  rs: {do: reject, model: base, reward: rm, verify: {form: 1}, prompts: qa, floor: 40}\n"
        # 0.6 + 0.3 + 0.1 is a little less than 1 in floating point.
        "  right: {do: reject, model: base, prompts: qa, knowledge: kb, floor: 1,\n"
        "          verify: {facts: 0.6, knowledge: 0.3, form: 0.1}}\n"
    )
    files.write_text(tmp_path / "recipe.yaml", DATA + rows)
    assert set(read_recipe(tmp_path / "recipe.yaml").steps) >= {"rs", "right"}


def test_settings_reach_mappings_that_the_file_leaves_out(tmp_path: Path) -> None:
    files.write_text(tmp_path / "recipe.yaml", f"{DATA}  sft: {{do: sft, model: base, data: qa}}\n")
    recipe = read_recipe(tmp_path / "recipe.yaml", settings=["launch.processes=4", "sft.lora.rank=8"])
    assert recipe.launch.processes == 4
    step = recipe.steps["sft"]
    assert isinstance(step, Sft)
    assert step.lora
    assert (step.tune, step.lora.rank) == ("lora", 8)
    with pytest.raises(RecipeError, match="cannot be shared by 3 processes"):
        read_recipe(tmp_path / "recipe.yaml", settings=["launch.processes=3"])
    with pytest.raises(RecipeError, match=r"unknown key 'launch\.proceses'"):
        read_recipe(tmp_path / "recipe.yaml", settings=["launch.proceses=4"])


def test_a_reward_model_at_chance_judges_nothing_unless_that_is_waived(tmp_path: Path) -> None:
    line = "  rm: {do: reward, model: base, data: dealt, length: 96}\n"
    made = make(tmp_path, DATA + line)
    folder = made.folder("rm")

    def measured(**numbers: float) -> None:
        Manifest("example", "rm", "reward", "", 1, {}, {}, {}, {}, numbers=numbers).write(folder)

    check_judge(made, "rm")
    measured(heldout=200, pairs=200, accuracy=0.55, low=0.48, high=0.62)
    with pytest.raises(GateError, match="no better than chance") as caught:
        check_judge(made, "rm")
    assert caught.value.fix.endswith("waive: [rm]")
    check_judge(make(tmp_path, DATA + line + "waive: [rm]\n"), "rm")
    measured(heldout=200, pairs=200, accuracy=0.7, low=0.63, high=0.76)
    check_judge(made, "rm")
    measured(heldout=4, pairs=4, accuracy=0.5, low=0.15, high=0.85)
    check_judge(made, "rm")


def test_a_waived_step_must_exist(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="waive names no step: 'tauhgt'") as caught:
        make(tmp_path, DATA + "waive: [tauhgt]\n")
    assert "did you mean 'taught'?" in caught.value.fix
    assert caught.value.where.endswith(":8")


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("chimed", ["launch.processes=8", "launch.strategy=zero2", "launch.offload=true"]),
        ("heal", ["launch.processes=4", "launch.strategy=zero3"]),
    ],
)
def test_the_launch_that_a_recipe_advises_can_be_planned(name: str, settings: list[str]) -> None:
    path = Path(__file__).parents[2] / "recipes" / f"{name}.yaml"
    assert all(f"--set {one}" in path.read_text(encoding="utf-8") for one in settings)
    read_recipe(path, settings=settings)


def test_the_processes_of_a_step_read_the_recipe_as_it_is(tmp_path: Path) -> None:
    rows = (
        "  rm: {do: reward, model: base, data: dealt, lora: {rank: 4}}\n"
        "  rs: {do: reject, model: base, reward: rm, prompts: qa, top: 5}\n"  # beside it `keep` may not be named
        "launch: {processes: 2, strategy: zero2, offload: true}\n"
    )
    made = make(tmp_path, DATA + rows)
    job = files.read_json(write_job(Context(tmp_path / "rm", made, "rm", 7, lambda *_: None)))
    again = plan(Recipe.model_validate_json(job["recipe"]), root=Path(job["root"]), runs=Path(job["runs"]))
    assert again.recipe == made.recipe
    assert digests(again) == digests(made)


@pytest.mark.parametrize(
    ("lines", "fix"),
    [
        ("  sft: {do: sft, model: base, data: qa, lora: {rnak: 8}}\n", "did you mean 'rank'? allowed: rank, alpha,"),
        ("  sft: {do: sft, model: base, data: qa}\nlaunch: {proceses: 2}\n", "did you mean 'processes'? allowed: proc"),
    ],
)
def test_a_misspelt_key_of_a_block_is_told_the_keys_of_that_block(lines: str, fix: str, tmp_path: Path) -> None:
    files.write_text(tmp_path / "recipe.yaml", DATA + lines)
    with pytest.raises(RecipeError, match="unknown key") as caught:
        read_recipe(tmp_path / "recipe.yaml")
    assert caught.value.fix.startswith(fix)
