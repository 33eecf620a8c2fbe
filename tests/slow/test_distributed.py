"""Two processes train what one would: DDP by a recipe's `launch`, FSDP2 on our packed batches (gloo, CPU)."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

from small_world import DATA, make
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


def weights(plan: Plan, step: str) -> dict[str, torch.Tensor]:
    model = load.open_model(str(plan.folder(step) / "model")) if step != "rm" else None
    if model is None:
        from safetensors.torch import load_file

        return load_file(plan.folder(step) / "model" / "model.safetensors")
    return dict(model.named_parameters())


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
        one, two = weights(alone, step), weights(together, step)
        assert one.keys() == two.keys()
        apart = torch.cat([(one[name] - two[name]).detach().abs().flatten() for name in one])
        # Adam's first step moves a weight by the whole rate, whatever the size of its gradient: rounding decides the
        # direction where the gradient is rounding itself.
        assert (apart > 2e-5).float().mean() < 0.005, step
        assert apart.mean() < 1e-5, step
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
