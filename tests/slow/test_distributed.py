"""Two processes train what one would (gloo, CPU): DDP and DeepSpeed by a recipe's `launch`, FSDP2 on packed batches.

On a CPU DeepSpeed's offload goes its own way through the code, but moves nothing: all memory is main memory.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import resumed_worker
import torch

from small_world import DATA, make
from xinglin import files
from xinglin.errors import DataError, EngineError, RecipeError
from xinglin.model import load
from xinglin.model.attention import packed
from xinglin.model.render import Template
from xinglin.recipe.plan import Plan, Planned
from xinglin.recipe.run import Silent, run
from xinglin.train.batches import collate, encode_samples, pack
from xinglin.train.curves import read_metrics
from xinglin.train.launch import Launch, command
from xinglin.train.likelihood import NEXT_TOKEN
from xinglin.train.resume import last_checkpoint
from xinglin.train.sft import sft
from xinglin.types import Sample

CHAIN = (
    DATA
    + """\
  pt:  {do: pretrain, model: base, data: books, rate: 1.0e-3, batch: 2, length: 64}
  sft: {do: sft, model: pt, data: qa, rate: 1.0e-3, batch: 4, micro: MICRO, length: 72, heldout: 0.2}
  rm:  {do: reward, model: sft, data: dealt, rate: 1.0e-3, batch: 6, length: 80}
  dpo: {do: dpo, model: sft, data: dealt, rate: 1.0e-4, batch: 6, length: 80, lora: {rank: 4}}
"""
)
LAUNCH = "launch: {processes: 2}\n"


ZERO = CHAIN.replace("MICRO", "1").replace(", lora: {rank: 4}", "")
DEEPSPEED = pytest.mark.skipif(find_spec("deepspeed") is None, reason="pip install 'xinglin[deepspeed]'")


def weights(plan: Plan, step: str) -> dict[str, torch.Tensor]:
    model = load.open_model(str(plan.folder(step) / "model")) if step != "rm" else None
    if model is None:
        from safetensors.torch import load_file

        return load_file(plan.folder(step) / "model" / "model.safetensors")
    return dict(model.named_parameters())


def compare(one: dict[str, torch.Tensor], two: dict[str, torch.Tensor]) -> None:
    assert one.keys() == two.keys()
    apart = torch.cat([(one[name] - two[name]).detach().abs().flatten() for name in one])
    # Adam's first step moves a weight by the whole rate, whatever the size of its gradient: rounding decides the
    # direction where the gradient is rounding itself.
    assert (apart > 2e-5).float().mean() < 0.005
    assert apart.mean() < 1e-5


def test_two_processes_end_with_the_weights_of_one(tmp_path: Path) -> None:
    """Rows come out even here: else a rest is filled up with rows from the start, as DDP always does."""
    alone = make(tmp_path, CHAIN.replace("MICRO", "2"), runs="alone")
    run(alone, watcher=Silent())
    together = make(tmp_path, CHAIN.replace("MICRO", "1") + LAUNCH, runs="together")
    heard: list[int] = []

    class Watcher(Silent):
        def moved(self, done: int, total: int, numbers: dict[str, float]) -> None:
            heard.append(done)

    run(together, watcher=Watcher())
    assert heard, "progress comes through"
    for step in ("pt", "sft", "rm", "dpo"):
        compare(weights(alone, step), weights(together, step))
        first, second = (read_metrics(plan.folder(step) / "metrics.jsonl")["loss"] for plan in (alone, together))
        assert second == pytest.approx(first, rel=1e-3)
    assert (together.folder("rm") / "judged.json").is_file()
    assert not list(together.folder("sft").glob("logs/trainer"))


ONLINE = (
    CHAIN.replace("MICRO", "2")
    + """\
  ppo:   {do: ppo, model: sft, prompts: qa, reward: rm, iterations: 3, batch: 7, rate: 1.0e-4, max_tokens: 12}
  grpo:  {do: grpo, model: sft, prompts: qa, verify: {form: 1}, iterations: 3, batch: 5, samples: 3, rate: 1.0e-4,
          max_tokens: 12}
  pupil: {do: distill, model: pt, teacher: sft, prompts: qa, iterations: 2, batch: 9, rate: 1.0e-4, max_tokens: 12}
waive: [rm]
"""
)


def test_two_processes_share_what_is_drawn_and_learnt_from_it(tmp_path: Path) -> None:
    alone = make(tmp_path, ONLINE, runs="alone")
    run(alone, watcher=Silent())
    shutil.copytree(tmp_path / "alone", tmp_path / "together")
    together = make(tmp_path, ONLINE + LAUNCH, runs="together")
    names = ("ppo", "grpo", "pupil")
    for step in names:
        shutil.rmtree(together.folder(step))
    ran: list[tuple[str, int]] = []

    class Watcher(Silent):
        def started(self, step: Planned) -> None:
            self.step = step.name

        def moved(self, done: int, total: int, numbers: dict[str, float]) -> None:
            ran.append((self.step, done))

    run(make(tmp_path, ONLINE + LAUNCH, runs="together"), watcher=Watcher())
    assert ran == [
        ("ppo", 1),
        ("ppo", 2),
        ("ppo", 3),
        ("grpo", 1),
        ("grpo", 2),
        ("grpo", 3),
        ("pupil", 1),
        ("pupil", 2),
    ]
    for step in names:
        assert (together.folder(step) / "logs" / "processes.log").is_file()
        one, two = weights(alone, step), weights(together, step)
        apart = torch.cat([(one[name] - two[name]).detach().abs().flatten() for name in one])
        assert (apart > 2e-5).float().mean() < 0.005, step
        first, second = (read_metrics(plan.folder(step) / "metrics.jsonl") for plan in (alone, together))
        for name in ("reward", "kl", "length", "loss", "norm"):
            assert second[name] == pytest.approx(first[name], rel=2e-3, abs=1e-5), (step, name)


def test_a_mistake_that_a_process_finds_is_told_as_if_there_were_one(tmp_path: Path) -> None:
    made = make(tmp_path, CHAIN.replace("MICRO", "0").replace("length: 72, heldout", "length: 16, heldout") + LAUNCH)
    with pytest.raises(DataError, match="no trainable sample") as caught:
        run(made, watcher=Silent())
    assert caught.value.fix
    short = CHAIN.replace("MICRO", "0").replace("batch: 2, length: 64}", "batch: 1, length: 64}")
    with pytest.raises(RecipeError, match="cannot be shared by 2 processes"):
        make(tmp_path, short + LAUNCH)


def test_sharding_that_the_machine_would_silently_not_do_is_refused(tmp_path: Path) -> None:
    sharded = CHAIN.replace("MICRO", "0").replace(", lora: {rank: 4}", "") + "launch: {processes: 2, strategy: fsdp2}\n"
    with pytest.raises(EngineError, match="wants fsdp2, but this machine would train as"):
        run(make(tmp_path, sharded), watcher=Silent())


def test_fsdp2_trains_packed_batches_as_one_process_does(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path
) -> None:
    tokenizer = load.open_tokenizer(str(tiny_folder))
    encoded, _ = encode_samples(samples[:12], Template(tokenizer), length=64)
    rows = pack([[one] for one in encoded], length=64).rows
    data = [[row.ids, row.labels, row.ends, row.names, row.groups] for row in rows]
    (tmp_path / "rows.json").write_text(json.dumps(data), encoding="utf-8")
    worker = Path(__file__).with_name("sharded_worker.py")
    start = command(Launch(processes=2), [])[:-1]
    done = subprocess.run(
        [*start, str(worker), str(tiny_folder), str(tmp_path / "rows.json"), str(tmp_path / "out.pt")],
        capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    found = torch.load(tmp_path / "out.pt", weights_only=True)
    model = load.open_model(str(tiny_folder))
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-2)
    batch = collate(rows)
    with packed(model):
        for _ in range(4):
            (NEXT_TOKEN.loss(model, batch).total / NEXT_TOKEN.count(batch)).backward()
            optimizer.step()
            optimizer.zero_grad()
    for name, weight in model.named_parameters():
        torch.testing.assert_close(found[name], weight.detach(), rtol=1e-4, atol=1e-6, msg=name)
    start_weights = load.open_model(str(tiny_folder))
    assert any(not a.equal(b) for a, b in zip(model.parameters(), start_weights.parameters(), strict=True))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The chain, trained in full by one process, in runs/alone."""
    root = tmp_path_factory.mktemp("zero")
    run(make(root, ZERO, runs="alone"), watcher=Silent())
    return root


@DEEPSPEED
@pytest.mark.parametrize(
    ("strategy", "offload", "steps"),
    [("zero2", "false", ("sft",)), ("zero2", "true", ("pt",)), ("zero3", "false", ("dpo",)),
     ("zero3", "true", ("rm",))],
)  # fmt: skip
def test_a_recipe_under_deepspeed_ends_with_the_weights_of_one_process(
    trained: Path, strategy: str, offload: str, steps: tuple[str, ...]
) -> None:
    runs = f"{strategy}-{offload}"
    shutil.copytree(trained / "alone", trained / runs)
    launch = f"launch: {{processes: 2, strategy: {strategy}, offload: {offload}}}\n"
    alone, together = make(trained, ZERO, runs="alone"), make(trained, ZERO + launch, runs=runs)
    for step in steps:
        shutil.rmtree(together.folder(step))
    run(make(trained, ZERO + launch, runs=runs), watcher=Silent())
    for step in steps:
        compare(weights(alone, step), weights(together, step))
        first, second = (read_metrics(plan.folder(step) / "metrics.jsonl") for plan in (alone, together))
        for name in ("loss", "rate", "norm"):
            assert second[name] == pytest.approx(first[name], rel=1e-3)
        assert not (together.folder(step) / "logs" / "trainer").exists()
    if "sft" in steps:
        measured = [files.read_json(plan.folder("sft") / "heldout.json")["heldout_after"] for plan in (alone, together)]
        assert measured[1] == pytest.approx(measured[0], rel=1e-4)
    if "rm" in steps:
        assert (together.folder("rm") / "judged.json").is_file()


@DEEPSPEED
@pytest.mark.parametrize(
    ("strategy", "offload", "tune", "rate", "best"),
    # With the high rate the best weights are not the last ones.
    [("zero2", False, "lora", 1e-3, 6), ("zero2", True, "full", 3e-2, 2), ("zero3", False, "full", 1e-3, 6),
     ("zero3", True, "full", 3e-2, 2)],
)  # fmt: skip
def test_a_training_under_deepspeed_is_shared_out_and_resumed(
    tiny_folder: Path, samples: list[Sample], tmp_path: Path, strategy: str, offload: bool, tune: str, rate: float,
    best: int,
) -> None:  # fmt: skip
    case = {"strategy": strategy, "offload": offload, "tune": tune, "rate": rate}
    files.write_json(tmp_path / "case.json", case)
    files.write_records(tmp_path / "samples.jsonl", samples[:24])
    alone, together = tmp_path / "alone", tmp_path / "together"
    sft(
        tiny_folder, samples[:24], alone, schedule=resumed_worker.schedule(case, Launch()),
        tuning=resumed_worker.tuning(case),
    )  # fmt: skip

    def start(stop: int) -> list[int]:
        worker = [str(Path(__file__).with_name("resumed_worker.py")), str(tiny_folder), str(tmp_path / "samples.jsonl")]
        told = [str(together), str(tmp_path / "case.json"), str(stop)]
        done = subprocess.run(
            [*command(Launch(2), [])[:-1], *worker, *told],
            capture_output=True, text=True, check=False, env=os.environ | {"OMP_NUM_THREADS": "1"},
        )  # fmt: skip
        assert (done.returncode == 0) == (stop == 0), done.stderr[-3000:]
        return [int(line) for line in done.stdout.split()]

    assert start(3) == [1, 2, 3]
    saved = last_checkpoint(together / "logs" / "trainer")
    assert saved
    check_shares(saved.path, case)
    with pytest.raises(RecipeError, match=f"step {saved.step} was written under {strategy} on 2 processes"):
        sft(tiny_folder, samples[:24], together, schedule=resumed_worker.schedule(case, Launch()))
    steps = len(read_metrics(alone / "metrics.jsonl")["loss"])
    assert start(0) == list(range(saved.step + 1, steps + 1))
    first, second = (read_metrics(folder / "metrics.jsonl")["loss"] for folder in (alone, together))
    assert second == pytest.approx(first, rel=1e-3)
    assert [files.read_json(folder / "heldout.json")["best_step"] for folder in (alone, together)] == [best, best]
    one, two = (load.open_model(str(folder / "model")) for folder in (alone, together))
    compare(dict(one.named_parameters()), dict(two.named_parameters()))


@DEEPSPEED
def test_installed_deepspeed_says_nothing_when_one_process_saves_a_model(tiny_folder: Path, tmp_path: Path) -> None:
    code = f"""
import sys
from xinglin.model import load
load.open_model({str(tiny_folder)!r}).save_pretrained({str(tmp_path)!r})
assert "deepspeed" in sys.modules
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def check_shares(checkpoint: Path, case: dict[str, Any]) -> None:
    """The engine was DeepSpeed's with what was asked for, and each process kept its half of what is shared out."""
    folder = next(checkpoint.glob("global_step*"))
    # Written by the test itself, above.
    states = [torch.load(path, weights_only=False) for path in sorted(folder.glob("*optim_states.pt"))]
    models = [torch.load(path, weights_only=False) for path in sorted(folder.glob("*model_states.pt"))]
    sharded = case["strategy"] == "zero3"
    assert len(states) == 2
    assert len(models) == (2 if sharded else 1)
    zero = models[0]["ds_config"]["zero_optimization"]
    assert zero["stage"] == (3 if sharded else 2)
    assert [zero.get(name, {}).get("device") for name in ("offload_optimizer", "offload_param")] == [
        "cpu" if case["offload"] else None, "cpu" if case["offload"] and sharded else None,
    ]  # fmt: skip
    names = {name for shapes in models[0]["param_shapes"] for name in shapes}
    whole = sum(shape.numel() for shapes in models[0]["param_shapes"] for shape in shapes.values())
    for state in (one["optimizer_state_dict"] for one in states):
        assert state["zero_stage"] == zero["stage"]
        moments = (state["optimizer_state_dict"] if sharded else state["base_optimizer_state"])["state"].values()
        weights = state["fp32_flat_groups" if sharded else "single_partition_of_fp32_groups"]
        for parts in ([one["exp_avg"] for one in moments], [one["exp_avg_sq"] for one in moments], weights):
            assert whole / 2 <= sum(part.numel() for part in parts) < whole / 2 * 1.05
    if sharded:
        assert names
        assert all(models[0]["module"][name].numel() == 0 for name in names)
