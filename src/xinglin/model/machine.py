"""What this machine can do."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import torch

_LIBRARIES = ("torch", "transformers", "peft", "accelerate", "bitsandbytes", "deepspeed", "liger-kernel")


@dataclass(frozen=True, slots=True)
class Machine:
    """Processors, memory and free disk in GiB, accelerators with their memory, and whether bf16 is fast here.

    On a CPU bf16 is slower than fp32 unless it has AMX or AVX-512 bf16 (training.md 5.2).
    """

    processors: int
    memory: float
    disk: float
    accelerators: tuple[tuple[str, float], ...]
    bf16: bool
    libraries: dict[str, str]

    @property
    def training(self) -> float:
        """GiB that a training process has: those of one accelerator, else main memory."""
        return min((size for _, size in self.accelerators), default=self.memory)


def look(folder: Path) -> Machine:
    """Look at this machine; `folder` is where results are written."""
    while not folder.exists():
        folder = folder.parent
    cards = [torch.cuda.get_device_properties(at) for at in range(torch.cuda.device_count())]
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8") if Path("/proc/cpuinfo").is_file() else ""
    return Machine(
        processors=os.cpu_count() or 1,
        memory=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30,
        disk=shutil.disk_usage(folder).free / 2**30,
        accelerators=tuple((card.name, card.total_memory / 2**30) for card in cards),
        bf16=torch.cuda.is_bf16_supported() if cards else "amx_bf16" in flags or "avx512_bf16" in flags,
        libraries={name: version for name in _LIBRARIES if (version := _version(name))},
    )


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
