"""The doctor sees what would go wrong: disagreeing files, lost end tokens, too little memory."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from transformers import GPT2Config, GPT2LMHeadModel

from small_world import DATA, make
from xinglin import files
from xinglin.errors import ModelError
from xinglin.model import load
from xinglin.model.machine import look
from xinglin.model.render import Template
from xinglin.recipe.context import PASSAGES, Context
from xinglin.recipe.doctor import Diagnosis, estimate, examine, machine
from xinglin.recipe.plan import Plan
from xinglin.recipe.run import Silent, run
from xinglin.train.estimate import architecture
from xinglin.train.fit import Schedule
from xinglin.train.preflight import _SENTENCE, faults, inspect, inspect_texts
from xinglin.train.pretrain import pretrain
from xinglin.train.sft import sft
from xinglin.types import Message, Passage, Sample

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
    timed = found(make(tmp_path, CHAIN.replace("LENGTH", "64")), "sft 时间")
    assert re.fullmatch(r"约 about [\d.]+ s；[\d,]+ token × 1 轮 epochs", timed.detail)
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


ONLINE = DATA + (
    "  rm: {do: reward, model: base, data: dealt, length: 64}\n"
    "  ppo: {do: ppo, model: base, prompts: qa, reward: rm}\n"
    "  grpo: {do: grpo, model: base, prompts: qa, verify: {form: 1}}\n"
    "  light: {do: grpo, model: base, prompts: qa, verify: {form: 1}, tune: lora}\n"
    "  rs: {do: reject, model: base, prompts: qa, reward: rm}\n"
    "  right: {do: reject, model: base, prompts: qa, verify: {form: 1}, batch: 1, length: 16, tune: lora}\n"
    "  duels: {do: contrast, model: base, prompts: qa, reward: rm}\n"
    "  pupil: {do: distill, model: base, teacher: base, prompts: qa}\n"
    "base: base\n"
)


def test_memory_is_told_of_stages_that_hold_several_models(tiny_folder: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_folder, tmp_path / "base")
    plan = make(tmp_path, ONLINE)
    assert found(plan, "ppo 内存").level == "ok"
    needed = {
        step.name: estimate(step, Context(step.folder, plan, step.name, 7, lambda *_: None)) for step in plan.steps
    }
    one = needed["grpo"].parameters / 2**30
    # Policy (fp32, gradient and two moments) and a reference in fp32; PPO adds a critic, its states and a bf16 reward
    # model; a teacher is bf16; beside an adapter there is no second copy.
    assert needed["grpo"].weights + needed["grpo"].optimizer == pytest.approx((16 + 4) * one)
    assert needed["ppo"].weights + needed["ppo"].optimizer == pytest.approx((16 + 16 + 4 + 2) * one)
    assert needed["pupil"].weights - needed["grpo"].weights == pytest.approx(2 * one)
    assert needed["light"].weights < 4 * one
    assert needed["rs"].weights - needed["right"].weights == pytest.approx(2 * one), "the reward model's"
    assert needed["duels"].weights == pytest.approx(2 * 2 * one), "a policy and a judge, neither trained"
    assert (needed["duels"].optimizer, needed["duels"].trained) == (0, 0)
    assert needed["qa"] is None
    shared = make(tmp_path, ONLINE.replace(", tune: lora", "") + "launch: {processes: 4, strategy: zero3}\n")
    step = next(step for step in shared.steps if step.name == "rs")
    # It takes one process, which holds everything.
    assert estimate(step, Context(step.folder, shared, "rs", 7, lambda *_: None)).total == needed["rs"].total


def test_comparisons_that_do_not_fit_are_named(tmp_path: Path) -> None:
    text = DATA + "  rm: {do: reward, model: base, data: dealt, length: LENGTH}\n"
    made = make(tmp_path, text.replace("LENGTH", "128"))
    run(made, watcher=Silent(), until="base")
    fine = found(make(tmp_path, text.replace("LENGTH", "128")), "rm 数据")
    assert (fine.level, "dropped 0" in fine.detail) == ("ok", True)
    assert found(make(tmp_path, text.replace("LENGTH", "16")), "rm 数据").level == "fail"
    longest = int(fine.detail.rpartition("longest ")[2])
    short = found(make(tmp_path, text.replace("LENGTH", str(longest - 1))), "rm 数据")
    assert "dropped: pref" in short.detail


def test_texts_are_counted_and_timed(tiny_folder: Path, samples: list[Sample], tmp_path: Path) -> None:
    text = DATA + "  pt: {do: pretrain, model: base, data: books, length: 64}\n"
    made = make(tmp_path, text)
    run(made, watcher=Silent(), until="pt")
    again = make(tmp_path, text.replace("length: 64", "length: 64, epochs: 2"))
    assert "丢弃 dropped 0" in found(again, "pt 数据").detail
    assert found(again, "pt 时间").detail.endswith("× 2 轮 epochs")
    template = Template(load.open_tokenizer(str(tiny_folder)))
    told = [Passage("a", "血压" * 40, (), samples[0].origin), Passage("b", "", (), samples[0].origin)]
    seen = inspect_texts(told, template, length=16)
    assert (seen.samples, seen.dropped, seen.ended, seen.lost, seen.longest) == (2, 1, 1, ("b",), 16)
    twice = inspect_texts([told[0], *told], template, length=16)
    assert (twice.samples, twice.dropped, twice.ended) == (3, 1, 2), "a user's texts may share an id"
    # Every piece but the first begins with the last token of the one before.
    assert sum(seen.segments) - len(seen.segments) + 1 == len(template.document("血压" * 40))


def test_empty_texts_are_no_matter_of_length(tmp_path: Path) -> None:
    text = DATA + "  pt: {do: pretrain, model: base, data: books, length: 64}\n"
    made = make(tmp_path, text)
    run(made, watcher=Silent(), until="pt")
    path = made.folder("books") / PASSAGES
    told = files.read_records(path, Passage)
    files.write_records(path, [*told, *(replace(one, id=f"{one.id}-0", text="") for one in told)])
    one = found(make(tmp_path, text), "pt 数据")
    assert (one.level, "length" in one.fix) == ("warn", False)
    assert "remove records" in one.fix


def test_kto_is_looked_at_with_the_answers_of_strangers(tmp_path: Path) -> None:
    text = DATA + "  d: {do: dpo, model: base, data: dealt, length: 128}\n"
    run(make(tmp_path, text), watcher=Silent(), until="base")
    pairs, triples = (found(make(tmp_path, text.replace("do: dpo", f"do: {do}")), "d 数据") for do in ("dpo", "kto"))
    two, three = (int(one.detail.rpartition("longest ")[2]) for one in (pairs, triples))
    assert three > two
    short = text.replace("do: dpo", "do: kto").replace("length: 128", f"length: {two}")
    assert "dropped 0" not in found(make(tmp_path, short), "d 数据").detail


def test_a_gpt_2_is_estimated_and_a_broken_configuration_has_one_line(tiny_folder: Path, tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    tokenizer = load.open_tokenizer(str(base))
    ends = {"eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id, "bos_token_id": None}
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=32, n_layer=2, n_head=2, n_positions=256, **ends)
    GPT2LMHeadModel(config).save_pretrained(base)
    text = CHAIN.replace("LENGTH", "128").replace(", lora: {rank: 4}", "") + "base: base\n"
    run(make(tmp_path, text), watcher=Silent(), until="qa")
    seen = [one for one in examine(make(tmp_path, text)) if one.what.startswith("sft")]
    assert [(one.level, one.what[4:6]) for one in seen] == [("ok", "内存"), ("ok", "数据"), ("ok", "时间")], seen
    (base / "config.json").write_text('{"model_type": "gpt2", "n_embd')
    told = [*examine(make(tmp_path, text))]
    assert "base 模型 model" in [one.what for one in told if one.level == "fail"]
    assert not [one for one in told if "内存" in one.what or "时间" in one.what]
    with pytest.raises(ModelError, match="not valid JSON"):
        architecture(str(base))


def test_a_length_beyond_the_context_fails_before_anything_is_trained(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    settings = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(settings | {"max_position_embeddings": 20}))
    one = found(make(tmp_path, CHAIN.replace("LENGTH", "64") + "base: base\n"), "sft 长度")
    assert (one.level, one.fix) == ("fail", "length: 20")
    draws = CHAIN.replace("LENGTH", "16") + "  own: {do: contrast, model: sft, prompts: qa, verify: {form: 1}}\n"
    one = found(make(tmp_path, draws + "base: base\n"), "own 长度")
    assert (one.level, one.fix) == ("fail", "max_tokens: 20")
    alone = DATA + "  own: {do: contrast, model: base, prompts: qa, verify: {form: 1}, most: 2}\nbase: base\n"
    with pytest.raises(ModelError, match="the model's context is 20") as caught:
        run(make(tmp_path, alone), watcher=Silent())
    assert "max_tokens" in caught.value.fix
    plan = Schedule(epochs=1, batch=2, rate=1e-3, seed=1, length=128)
    long = Sample("long", (Message("user", "问"), Message("assistant", "答" * 20)), samples[0].origin)
    with pytest.raises(ModelError, match="the model's context is 20"):
        sft(base, [long], tmp_path / "sft", schedule=plan)


def test_a_given_model_must_know_chinese(tiny_folder: Path, samples: list[Sample], tmp_path: Path) -> None:
    base = Path(shutil.copytree(tiny_folder, tmp_path / "base"))
    text = CHAIN.replace("LENGTH", "64") + "base: base\n"
    assert found(make(tmp_path, text), "base 试读").level == "warn", "random weights"
    told = Passage("p", _SENTENCE, (), samples[0].origin)
    pretrain(base, [told] * 8, tmp_path / "made", schedule=Schedule(epochs=8, batch=1, rate=5e-3, seed=1, length=512))
    shutil.rmtree(base)
    shutil.copytree(tmp_path / "made" / "model", base)
    assert found(make(tmp_path, text), "base 试读").level == "ok"
    (base / "model.safetensors").write_bytes((base / "model.safetensors").read_bytes()[:-9])
    assert found(make(tmp_path, text), "base 试读").level == "fail"


def test_several_processes_are_shown_with_their_command(tmp_path: Path) -> None:
    text = CHAIN.replace("length: LENGTH", "length: 64, batch: 8")
    plan = make(tmp_path, text + "launch: {processes: 4, nodes: 2}\n")
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


def test_a_base_that_is_no_model_fails_and_the_other_checks_go_on(tiny_folder: Path, tmp_path: Path) -> None:
    chain = "base: given\n" + CHAIN.replace("LENGTH", "64")
    shutil.copytree(tiny_folder, tmp_path / "given")
    run(make(tmp_path, chain), watcher=Silent(), until="qa")
    for config in ('{"model_type": "nonsense"}', "{", ""):
        (tmp_path / "given" / "config.json").write_text(config, encoding="utf-8")
        told = [(one.what.partition(" ")[0], one.level) for one in examine(make(tmp_path, chain))]
        assert told == [("base", "fail"), ("sft", "fail")]
