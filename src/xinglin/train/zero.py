"""DeepSpeed's ZeRO between the processes of a training, on a machine without accelerators too."""

from __future__ import annotations

import os
import warnings
from importlib.util import find_spec
from typing import Any

import torch

from xinglin.errors import EngineError


def meet() -> dict[str, Any]:
    """Meet the other processes under DeepSpeed; returns what Trainer has to be told about it."""
    if find_spec("deepspeed") is None:
        raise EngineError(
            "zero2 and zero3 need DeepSpeed, which is not installed",
            where="launch.strategy",
            fix="pip install 'xinglin[deepspeed]', or choose ddp or fsdp2",
        )
    told = {} if torch.cuda.is_available() else _meet_on_cpu()
    _read_checkpoints_safely()
    # torch's words about the names that DeepSpeed calls its functions by: a line at every call.
    warnings.filterwarnings("ignore", message="`torch.distributed", category=FutureWarning)
    return told


def part() -> None:
    """After a training: models are opened whole again. transformers would go on to share them out between processes."""
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()


def _meet_on_cpu() -> dict[str, Any]:
    """Trainer starts DeepSpeed on accelerators only; told that it has a CPU, it would take DDP and say nothing."""
    os.environ |= {"DS_ACCELERATOR": "cpu", "ACCELERATE_TORCH_DEVICE": "cpu", "ACCELERATE_USE_DEEPSPEED": "true"}
    import deepspeed.ops
    from accelerate import PartialState

    # It would be compiled on the spot, which takes a compiler and half a minute. gloo does the same.
    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    PartialState(backend="gloo")
    return {"accelerator_config": {"use_configured_state": True}, "use_cpu": False}


def _read_checkpoints_safely() -> None:
    """DeepSpeed reads its checkpoints as pickles that may run code; let torch take data and these records only."""
    from deepspeed.runtime.fp16.loss_scaler import LossScaler
    from deepspeed.runtime.zero.config import ZeroStageEnum
    from deepspeed.utils.tensor_fragment import fragment_address

    os.environ["TORCH_FORCE_WEIGHTS_ONLY_LOAD"] = "1"
    torch.serialization.add_safe_globals([LossScaler, ZeroStageEnum, fragment_address])
