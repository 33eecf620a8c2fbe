"""Every training step in one recipe: what each makes is what the next reads, and its manifest says how it went."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from small_world import DATA, make
from xinglin import files
from xinglin.errors import GateError
from xinglin.model.card import read_card
from xinglin.recipe import online, training
from xinglin.recipe.context import Context
from xinglin.recipe.manifest import read_manifest
from xinglin.recipe.measure import results
from xinglin.recipe.models import assistant
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import Silent, run
from xinglin.types import Fact, Preference, Sample

REGIME = (
    DATA
    + """\
  more:   {do: templates, facts: taught, skip: 3, phrasings: 3}
  wide:   {do: vocab, model: base, text: [qa], pieces: 12}
  pt:     {do: pretrain, model: wide, data: books, rate: 2.0e-3, tune: embeddings}
  first:  {do: sft, model: pt, data: qa, epochs: 12, rate: 5.0e-3, heldout: 0.2, neftune: 5}
  sft:    {do: sft, model: first, data: qa, epochs: 4, rate: 1.0e-3, lora: {rank: 4}, micro: 2}
  whole:  {do: merge, model: sft}
  rm:     {do: reward, model: whole, data: dealt, epochs: 4, rate: 1.0e-3}
  duels:
    do: contrast
    model: whole
    prompts: more
    verify: {facts: 1}
    knowledge: kb
    samples: 8
    temperature: 1.5
    pairs: 3
    heldout: 0.2
  rs:     {do: reject, model: whole, reward: rm, prompts: more, samples: 2, top: 5, most: 10, rate: 1.0e-4}
  right:  {do: reject, model: rs, verify: {form: 1}, prompts: more, samples: 2, most: 10, floor: 1, rate: 1.0e-4}
  ppo:    {do: ppo, model: right, reward: rm, prompts: more, verify: {form: 0.5}, iterations: 2, batch: 8, rate: 1.0e-4}
  grpo:   {do: grpo, model: ppo, prompts: more, verify: {facts: 1, form: 0.2}, knowledge: kb, iterations: 2, batch: 4}
  rloo:   {do: rloo, model: grpo, prompts: exam, verify: {exam: 1, safety: 1}, iterations: 1, batch: 4, samples: 2}
  kto:    {do: kto, model: rloo, data: dealt, most: 6, tune: freeze}
  simpo:  {do: simpo, model: kto, data: duels, most: 6, gamma: 0.5}
  small:  {do: distill, model: base, teacher: base, prompts: more, iterations: 1, batch: 4}
"""
).replace("steps:\n", "steps:\n  exam:   {do: import, input: [exam.jsonl], noun: questions}\n")
OPTIONS = {"A": "甲类感染", "B": "乙类感染", "C": "丙类感染", "D": "头痛"}
EXAM = [{"question": f"示例{name}素用于什么？", "options": OPTIONS, "answer": "B"} for name in "甲乙丙丁戊己"]


@pytest.fixture(scope="module")
def regime(tmp_path_factory: pytest.TempPathFactory, threads: None) -> Plan:
    root = tmp_path_factory.mktemp("regime")
    files.write_text(root / "exam.jsonl", "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in EXAM))
    made = make(root, REGIME)
    run(made, watcher=Silent())
    return make(root, REGIME)


def numbers(plan: Plan, step: str) -> dict[str, float]:
    manifest = read_manifest(plan.folder(step))
    assert manifest
    return manifest.numbers


def test_every_stage_is_done_and_leaves_a_model_with_its_card(regime: Plan) -> None:
    assert all(step.done for step in regime.steps)
    wanted = {"wide": "vocab", "pt": "pretrain", "sft": "sft", "whole": "merge", "rm": "reward", "ppo": "ppo"}
    assert {step: read_card(regime.folder(step) / "model").stage for step in wanted} == wanted
    for step in ("grpo", "rloo", "kto", "simpo"):
        assert read_card(regime.folder(step) / "model").stage == step
    assert read_card(regime.folder("sft") / "model").adapter == "lora"
    for step in ("pt", "first", "rm", "rs", "ppo", "rloo", "kto", "small"):
        assert (regime.folder(step) / "curve.html").is_file()
        assert (regime.folder(step) / "curve.png").is_file()
        assert not (regime.folder(step) / "logs" / "trainer").exists()


def test_the_manifests_say_how_each_stage_went(regime: Plan) -> None:
    assert 0 < numbers(regime, "wide")["added"] <= 12
    assert numbers(regime, "wide")["compression_after"] > numbers(regime, "wide")["compression_before"]
    assert numbers(regime, "whole")["difference"] <= 1e-4
    judged = numbers(regime, "rm")
    assert {"accuracy", "low", "high", "margin", "calibration", "length", "shorter", "longer"} <= set(judged)
    assert json.loads((regime.folder("rm") / "judged.json").read_text())["bins"]
    assert numbers(regime, "rs")["kept"] == 5
    made = numbers(regime, "duels")
    assert made["drawn"] == 8 * made["prompts"]
    assert made["train"] + made["heldout"] > made["paired"] > 1
    assert numbers(regime, "right")["kept_reward"] == 1.0
    for step in ("rs", "right", "ppo", "grpo"):
        assert {"reward_before", "reward_after", "low", "high", "p", "heldout_kl"} <= set(numbers(regime, step))


def test_pairs_of_own_answers_prefer_the_verified_one_and_know_where_they_come_from(regime: Plan) -> None:
    facts = {one.id: one for one in files.read_records(regime.folder("kb") / "facts.jsonl", Fact)}
    prompts = {one.id for one in files.read_records(regime.folder("more") / "samples.jsonl", Sample)}
    train, heldout = (
        files.read_records(regime.folder("duels") / name, Preference) for name in ("preferences.jsonl", "heldout.jsonl")
    )
    for pair in train + heldout:
        tails = [facts[parent].tail for parent in pair.origin.parents[1:]]
        assert all(tail in pair.chosen for tail in tails)
        assert pair.margin >= 0.5
        assert pair.origin.parents[0] in prompts
        assert pair.origin.maker
        assert pair.origin.maker.model == "whole"
    assert not {pair.origin.group for pair in train} & {pair.origin.group for pair in heldout}


def test_answers_drawn_before_a_run_was_killed_are_not_drawn_again(
    regime: Plan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(online, "_PORTION", 2)
    step = regime.recipe.steps["duels"]
    assert isinstance(step, training.Contrast)
    seen: list[int] = []

    def told(number: int, _total: int, _numbers: dict[str, float]) -> None:
        seen.append(number)
        if len(seen) == 3:
            raise KeyboardInterrupt

    at = [Context(tmp_path / name, regime, "duels", 7, told) for name in ("killed", "whole")]
    with pytest.raises(KeyboardInterrupt):
        online.contrast(step, at[0])
    assert not (tmp_path / "killed" / "draws.jsonl").exists()
    online.contrast(step, at[0])
    online.contrast(step, at[1])
    total = seen[-1]
    assert seen == [0, 1, 2, *range(2, total + 1), *range(total + 1)]
    killed, whole = (files.digest_folder(tmp_path / name) for name in ("killed", "whole"))
    assert killed == whole
    assert "draws.jsonl" in whole
    left = tmp_path / "whole" / "logs" / "draws" / "0.jsonl"
    files.write_text(left, "")  # a kill between the two would leave it
    online.contrast(step, at[1])
    assert not left.parent.exists()


def test_an_exam_question_becomes_a_prompt_with_its_options_and_answer(regime: Plan) -> None:
    from xinglin.recipe.online import prompts

    at = Context(regime.folder("rloo"), regime, "rloo", 7, lambda *_: None)
    first = prompts(at, "exam")[0]
    assert first.messages[-1].content.endswith("A. 甲类感染\nB. 乙类感染\nC. 丙类感染\nD. 头痛\n请直接给出正确选项。")
    assert first.extra["answer"] == "B"


SPOILT = (
    DATA
    + """\
  sft:    {do: sft, model: base, data: qa, epochs: 60, batch: 1, length: 128, rate: 3.0e-3}
  spoilt: {do: sft, model: sft, data: qa, epochs: 2, rate: 0.9, warmup: 0}
  tables: {do: evaluate, models: [sft, spoilt], tasks: [recall, choice, general], questions: qa, max_tokens: 24}
  after:  {do: sft, model: spoilt, data: qa}
serve: {model: spoilt, knowledge: kb}
"""
)


def test_a_stage_that_loses_to_its_parent_stops_the_run_unless_it_is_waived(tmp_path: Path) -> None:
    made = make(tmp_path, SPOILT)
    with pytest.raises(GateError, match="'spoilt' is worse than 'sft' on recall") as caught:
        run(made, watcher=Silent())
    assert "waive: [spoilt]" in caught.value.fix
    assert caught.value.code == 1
    again = make(tmp_path, SPOILT)
    assert [step.name for step in again.steps if not step.done] == ["after"]
    with pytest.raises(GateError, match="it is not promoted"):
        assistant(again)
    with pytest.raises(GateError):
        run(again, watcher=Silent())
    waived = make(tmp_path, SPOILT + "waive: [spoilt]\n")
    assert sum(not step.done for step in waived.steps) == 1, "a waiver repeats nothing"
    run(waived, watcher=Silent())
    assert assistant(make(tmp_path, SPOILT + "waive: [spoilt]\n")).name == "xinglin-example"
    canary = next(one for one in results(waived)[0].reports if (one.model, one.task) == ("sft", "general"))
    assert canary.metrics[0].count == 48
