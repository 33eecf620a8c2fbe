"""Launch configurations agree with what the trainer is told, and a command line starts what it should."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from transformers import TrainingArguments

from xinglin.errors import EngineError, RecipeError
from xinglin.recipe.parallel import reason
from xinglin.train import zero
from xinglin.train.launch import Launch, arguments, check_strategy, command, deepspeed_config, fsdp_config
from xinglin.train.resume import Saved, check_sharing, note_sharing


def test_one_node_needs_no_address_and_several_do() -> None:
    alone = command(Launch(processes=8), ["xinglin.recipe.worker", "job.json"])
    assert alone[:4] == [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node=8"]
    assert "--standalone" in alone
    assert alone[-3:] == ["-m", "xinglin.recipe.worker", "job.json"]
    several = command(Launch(processes=8, nodes=2), ["xinglin.recipe.worker", "job.json"])
    assert "--nnodes=2" in several
    assert any(part.startswith("--rdzv-endpoint=") and part.endswith(":29500") for part in several)
    assert "--standalone" not in several
    assert Launch(processes=8, nodes=2).world == 16


@pytest.mark.parametrize(
    ("strategy", "offload", "stage", "optimizer", "weights"),
    [("zero2", False, 2, False, False), ("zero2", True, 2, True, False), ("zero3", False, 3, False, False),
     ("zero3", True, 3, True, True)],
)  # fmt: skip
def test_zero_configurations_share_out_and_offload_what_they_say(
    strategy: str, offload: bool, stage: int, optimizer: bool, weights: bool
) -> None:
    made = deepspeed_config(Launch(8, 1, strategy, offload))  # type: ignore[arg-type]
    told = made["zero_optimization"]
    assert told["stage"] == stage
    assert (told.get("offload_optimizer", {}).get("device") == "cpu") == optimizer
    assert (told.get("offload_param", {}).get("device") == "cpu") == weights
    assert told.get("stage3_gather_16bit_weights_on_model_save", False) == (stage == 3)
    assert {name for name in told if told[name] == "auto"} == {"reduce_bucket_size"} | (
        {"stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"} if stage == 3 else set()
    )
    # "auto" fields take the trainer's own values: nothing here can contradict them.
    batch = ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    assert {made[name] for name in batch} == {"auto"}
    assert "optimizer" not in made
    assert "scheduler" not in made


def test_the_fsdp_configuration_is_read_by_the_trainer_as_meant(tmp_path: object) -> None:
    read = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, **arguments(Launch(2, 1, "fsdp2")))
    plugin = read.fsdp_plugin_args
    assert plugin is not None
    assert plugin["fsdp_version"] == 2
    assert plugin["reshard_after_forward"] is True
    assert plugin["state_dict_type"] == "FULL_STATE_DICT"
    assert fsdp_config()["version"] == 2


def test_a_strategy_that_is_not_deepspeeds_has_no_such_configuration() -> None:
    with pytest.raises(RecipeError, match="no strategy of DeepSpeed"):
        deepspeed_config(Launch(2, 1, "fsdp2"))
    assert arguments(Launch(2)) == {"ddp_find_unused_parameters": False}


def test_deepspeed_that_is_not_installed_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "deepspeed", None)
    with pytest.raises(EngineError, match="need DeepSpeed") as caught:
        zero.meet()
    assert "xinglin[deepspeed]" in caught.value.fix


def test_the_error_of_the_process_that_failed_is_told_not_what_torchrun_says_last() -> None:
    output = """\
[rank1]: Traceback (most recent call last):
[rank1]:     raise ValueError(something)
[rank1]: module.SomeError: the batch is empty
[rank0]: RuntimeError: Connection closed by peer
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
============================================================
"""
    assert reason(output) == "[rank1]: module.SomeError: the batch is empty"
    assert reason(f"[rank1]: AssertionError\n{output}") == "[rank1]: AssertionError", "without a word, too"
    early = "module.ValidationError: 1 error\ntorch.distributed.elastic.multiprocessing.errors.ChildFailedError: \n==="
    assert reason(early) == "module.ValidationError: 1 error", "before the processes have met"
    assert reason("the last word\n------\n======\n") == "the last word"
    assert reason("Killed\n") == "Killed"
    assert reason("") == "no output"


def test_a_process_that_was_killed_is_told_before_the_errors_of_those_that_lost_it() -> None:
    output = """\
[rank0]: RuntimeError: Connection reset by peer
torch.distributed.elastic.multiprocessing.errors.ChildFailedError:
Failures:
[1]:
  exitcode  : -15 (pid: 11)  (SIGTERM)
  traceback : Signal 15 (SIGTERM) received by PID 11
------------------------------------------------------
Root Cause (first observed failure):
[0]:
  rank      : 1 (local_rank: 1)
  exitcode  : -9 (pid: 12)  (SIGKILL)
  error_file: <N/A>
  traceback : Signal 9 (SIGKILL) received by PID 12
======================================================
"""
    assert reason(output) == "Signal 9 (SIGKILL) received by PID 12"
    told = output.replace("Signal 9 (SIGKILL) received by PID 12", "To enable traceback see: https://…")
    assert reason(told) == "[rank0]: RuntimeError: Connection reset by peer"


@pytest.mark.parametrize(
    ("before", "now", "fits"),
    [
        (Launch(), Launch(2), True),
        (Launch(2), Launch(), True),
        (Launch(2, 1, "zero2"), Launch(2, 1, "zero2", offload=True), True),
        (Launch(2, 1, "zero2"), Launch(), False),
        (Launch(2, 1, "zero2"), Launch(4, 1, "zero2"), False),
        (Launch(2, 1, "zero2"), Launch(2, 1, "zero3"), False),
        (Launch(2), Launch(2, 1, "zero3"), False),
    ],
)
def test_a_checkpoint_in_shares_is_continued_by_as_many_processes_in_the_same_way(
    before: Launch, now: Launch, fits: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(before.world))
    note_sharing(tmp_path, before)
    saved = Saved(tmp_path, 3)
    monkeypatch.setenv("WORLD_SIZE", str(now.world))
    if fits:
        check_sharing(saved, now)
        return
    with pytest.raises(RecipeError, match="checkpoint of step 3") as caught:
        check_sharing(saved, now)
    assert "launch" in caught.value.fix


def test_a_checkpoint_without_a_word_about_sharing_is_a_whole_one(tmp_path: Path) -> None:
    check_sharing(Saved(tmp_path, 3), Launch())


def test_another_sharing_than_asked_for_is_refused() -> None:
    for kind, launch in (("MULTI_CPU", Launch(2)), ("FSDP", Launch(2, 1, "fsdp2")), ("NO", Launch())):
        check_strategy(kind, launch)
    for kind, launch in (("MULTI_CPU", Launch(2, 1, "fsdp2")), ("MULTI_GPU", Launch(2, 1, "zero3")), ("NO", Launch(2))):
        with pytest.raises(EngineError, match=f"would train as {kind}"):
            check_strategy(kind, launch)
