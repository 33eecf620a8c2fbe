"""The recipes of the five systems, and a team's own, run from end to end on the tiny base."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xinglin import files
from xinglin.recipe.measure import results
from xinglin.recipe.models import Places, ask
from xinglin.recipe.read import read_recipe
from xinglin.recipe.run import Silent, run

RECIPES = Path(__file__).parents[2] / "recipes"


@pytest.mark.parametrize("name", ["ivy", "chatmed", "heal", "qizhen", "chimed"])
def test_a_system_s_recipe_runs_on_the_tiny_base(name: str, tmp_path: Path) -> None:
    # So little training may make a model worse than its parent, and a reward model no better than chance.
    steps = read_recipe(RECIPES / f"{name}.yaml").steps
    small = ["base=tiny", "tables.most=20", f"waive=[{', '.join(steps)}]"]
    small += {"ivy": ["ppo.iterations=2"], "chimed": ["rs.most=20", "rs.top=20"]}.get(name, [])
    places = Places(runs=tmp_path, settings=tuple(small))
    made = places.plan(RECIPES / f"{name}.yaml")
    run(made, watcher=Silent())
    done = places.plan(RECIPES / f"{name}.yaml")
    assert all(step.done for step in done.steps)
    assert results(done)[0].reports
    (_, reply), *_ = ask(done)
    assert reply.text


def test_a_team_adapts_a_base_to_its_own_records(tmp_path: Path) -> None:
    pytest.importorskip("bitsandbytes", reason="qlora needs bitsandbytes: pip install 'xinglin[quant]'")
    talks = [
        {"messages": [
            {"role": "user", "content": f"医生您好，我叫王建国，电话13912345678，头痛第{at}天怎么办？"},
            {"role": "assistant", "content": f"请先测量血压，注意休息，第{at + 1}天不缓解请到神经内科就诊。"},
        ]}
        for at in range(40)
    ]  # fmt: skip
    lines = "".join(json.dumps(talk, ensure_ascii=False) + "\n" for talk in talks)
    files.write_text(tmp_path / "data" / "dialogues.jsonl", lines)
    settings = ("base=tiny", "taught.topics=60", "sft.length=512", "sft.epochs=1", "waive=[whole]")
    places = Places(root=tmp_path / "data", runs=tmp_path / "runs", settings=settings)
    made = places.plan(RECIPES / "own-base.yaml")
    run(made, watcher=Silent())
    trained = (made.folder("all") / "samples.jsonl").read_text(encoding="utf-8")
    assert "13912345678" not in trained
    assert "王建国" not in trained
    assert all(step.done for step in places.plan(RECIPES / "own-base.yaml").steps)
