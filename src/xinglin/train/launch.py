"""Training on several processes: what torchrun is called with, and how weights are shared out between them.

| strategy | every process holds | of use for |
|---|---|---|
| ddp | everything | models that fit one card |
| zero2 | weights; its share of gradients and optimiser state | full fine-tuning that almost fits one card |
| fsdp2, zero3 | its share of everything | models that do not fit one card |

`offload` (DeepSpeed only) keeps optimiser state, and under zero3 the weights, in main memory.
"""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import Any, Literal

from xinglin.errors import EngineError, RecipeError

Strategy = Literal["ddp", "fsdp2", "zero2", "zero3"]
SHARDED = ("fsdp2", "zero3")
ZERO = ("zero2", "zero3")
_KINDS = {"ddp": ("MULTI_CPU", "MULTI_GPU"), "fsdp2": ("FSDP",), "zero2": ("DEEPSPEED",), "zero3": ("DEEPSPEED",)}
"""What accelerate calls them."""


@dataclass(frozen=True, slots=True)
class Launch:
    """Processes on every node, nodes, and how weights are shared out."""

    processes: int = 1
    nodes: int = 1
    strategy: Strategy = "ddp"
    offload: bool = False

    @property
    def world(self) -> int:
        """All processes together."""
        return self.processes * self.nodes


ALONE = Launch()


def command(launch: Launch, target: list[str]) -> list[str]:
    """The command line that starts `python -m target` on every process of a node.

    On several nodes it is started on each, with MASTER_ADDR naming the first one.
    """
    start = [sys.executable, "-m", "torch.distributed.run", f"--nproc-per-node={launch.processes}"]
    if launch.nodes == 1:
        start.append("--standalone")
    else:
        address = f"{os.environ.get('MASTER_ADDR', '$MASTER_ADDR')}:29500"
        start += [
            f"--nnodes={launch.nodes}", "--rdzv-backend=c10d", f"--rdzv-endpoint={address}", "--rdzv-id=xinglin",
        ]  # fmt: skip
    return [*start, "-m", *target]


def first() -> bool:
    """Whether this is the process that writes files: the only one, or that of rank 0."""
    return os.environ.get("RANK", "0") == "0"


def world() -> int:
    """Processes that train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def arguments(launch: Launch) -> dict[str, Any]:
    """The arguments of transformers' Trainer for a strategy."""
    if launch.strategy == "fsdp2":
        return {"fsdp": True, "fsdp_config": fsdp_config()}
    if launch.strategy in ZERO:
        return {"deepspeed": deepspeed_config(launch)}
    # Frozen embeddings or adapters leave parameters without a gradient only if they are no parameters of the graph.
    return {"ddp_find_unused_parameters": False}


def fsdp_config() -> dict[str, Any]:
    """FSDP2 as accelerate reads it: every decoder layer is a unit (the model names its class), then the rest."""
    return {
        "version": 2,
        "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        "reshard_after_forward": True,
        "state_dict_type": "FULL_STATE_DICT",
        "cpu_ram_efficient_loading": False,
    }


def deepspeed_config(launch: Launch) -> dict[str, Any]:
    """ZeRO-2 or ZeRO-3; "auto" fields are filled in from the trainer's arguments, so they cannot disagree."""
    if launch.strategy not in ZERO:
        raise RecipeError(
            f"{launch.strategy} is no strategy of DeepSpeed", where="launch.strategy", fix="choose zero2 or zero3"
        )
    stage = 2 if launch.strategy == "zero2" else 3
    zero: dict[str, Any] = {"stage": stage, "overlap_comm": True, "contiguous_gradients": True}
    # "auto": by the model's width. DeepSpeed's own buckets of 2 GB are filled by deterministic torch at every step.
    zero["reduce_bucket_size"] = "auto"
    if launch.offload:
        zero["offload_optimizer"] = {"device": "cpu", "pin_memory": True}
    if stage == 3:
        if launch.offload:
            zero["offload_param"] = {"device": "cpu", "pin_memory": True}
        zero |= dict.fromkeys(("stage3_prefetch_bucket_size", "stage3_param_persistence_threshold"), "auto")
        # Without it only shares of the weights would be saved (ChatMed's configuration says false).
        zero["stage3_gather_16bit_weights_on_model_save"] = True
    return {
        "zero_optimization": zero,
        # For offload DeepSpeed would compile an Adam of its own (with nvcc on a GPU); torch's needs no compiler.
        "zero_force_ds_cpu_optimizer": False,
        "bf16": {"enabled": "auto"},
        "gradient_clipping": "auto",
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
    }


def check_strategy(kind: str, launch: Launch) -> None:
    """Refuse to train otherwise than was asked for: accelerate falls back to DDP on a CPU and says nothing."""
    if launch.world > 1 and kind not in _KINDS[launch.strategy]:
        raise EngineError(
            f"the recipe wants {launch.strategy}, but this machine would train as {kind}",
            where="launch.strategy",
            fix="choose ddp on a machine without accelerators, or install what the strategy needs (deepspeed)",
        )
