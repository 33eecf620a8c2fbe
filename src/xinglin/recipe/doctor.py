"""`xinglin doctor`: the machine and a recipe, looked at before an hour of computing is spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from xinglin import files
from xinglin.errors import MedError
from xinglin.recipe import parallel, training
from xinglin.recipe.context import SAMPLES, Context
from xinglin.recipe.plan import Plan, Planned
from xinglin.recipe.stages import schedule, tuning
from xinglin.types import Sample

Level = Literal["ok", "warn", "fail"]
_FEW_ENDS, _MANY_DROPPED = 1.0, 0.05


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was looked at, how it is, and what to do about it."""

    level: Level
    what: str
    detail: str
    fix: str = ""


def machine(folder: Path) -> list[Diagnosis]:
    """What this machine has."""
    from xinglin.model.machine import look

    found = look(folder)
    cards = ", ".join(f"{name} {size:.0f} GiB" for name, size in found.accelerators) or "无 none"
    precision = "bf16" if found.accelerators else "fp32"
    versions = ", ".join(f"{name} {version}" for name, version in found.libraries.items())
    return [
        Diagnosis("ok", "处理器与内存 processors and memory", f"{found.processors}, {found.memory:.0f} GiB"),
        Diagnosis(
            "ok",
            "加速卡 accelerators",
            f"{cards}; 训练用 trains in {precision}",
        ),
        _disk(found.disk),
        Diagnosis("ok", "版本 versions", versions),
    ]


def _disk(free: float) -> Diagnosis:
    enough = free > 5
    fix = "" if enough else "腾出空间，或用 --runs 换地方 free some space, or write elsewhere with --runs"
    return Diagnosis("ok" if enough else "warn", "磁盘 disk", f"{free:.0f} GiB 可用 free", fix)


def examine(plan: Plan) -> Iterator[Diagnosis]:
    """What is right and wrong with a recipe's base and training steps."""
    steps = [step for step in plan.steps if isinstance(step.step, training.Fitting | training.Online)]
    for step in plan.steps:
        if step.name == "base" or isinstance(step.step, training.Vocab):
            yield from _model(plan, step)
    for step in steps:
        at = Context(step.folder, plan, step.name, plan.recipe.seed, lambda *_: None)
        yield from _memory(step, at)
        if isinstance(step.step, training.Sft):
            yield from _conversations(step.step, at)
        if parallel.shares(step.step, at):
            shown = " ".join(parallel.command(at, Path("job.json"))[1:])
            yield Diagnosis("ok", f"{step.name} 多进程 processes", shown)


def _model(plan: Plan, step: Planned) -> Iterator[Diagnosis]:
    """Whether a model's tokenizer, template and configuration agree."""
    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.preflight import faults

    spec = _spec(plan, step)
    if not spec:
        yield Diagnosis("warn", f"{step.name} 模型 model", "尚未制造 not made", f"xinglin run … --until {step.name}")
        return
    try:
        config: Any = load.open_config(spec)
        template = Template(load.open_tokenizer(spec))
        found = faults(config, template, rows=config.get_text_config().vocab_size)
    except MedError as error:
        yield Diagnosis("fail", f"{step.name} 模型 model", f"{error.where}: {error.problem}", error.fix)
        return
    for fault in found:
        yield Diagnosis("fail", f"{step.name} 模型 model", fault, "使用模型自带的文件 use the model's own files")
    if not found:
        detail = "分词器、特殊符号、模板与掩码一致 tokenizer, special tokens, template and masks agree"
        yield Diagnosis("ok", f"{step.name} 模型 model", detail)


def _spec(plan: Plan, step: Planned) -> str:
    """Where a model's files are: in its folder if the step is done, else for a given base where it comes from."""
    if step.done:
        return str(step.folder / "model")
    named = getattr(step.step, "model", "")
    if step.name != "base" or named == "tiny":
        return ""
    return str(plan.root / named) if (plan.root / named).is_dir() else named


def _memory(step: Planned, at: Context) -> Iterator[Diagnosis]:
    """Whether a stage fits the memory of this machine."""
    memory = estimate(step, at)
    if memory is None or isinstance(step.step, training.Online):
        return
    from xinglin.model.machine import look
    from xinglin.train.estimate import fits

    room = look(at.plan.runs).training
    detail = (
        f"约 about {memory.total:.1f} GiB / {room:.0f} GiB；训练 trained {memory.trained:,} / {memory.parameters:,}"
    )
    fix = fits(memory, room)
    yield Diagnosis("warn" if fix else "ok", f"{step.name} 内存 memory", detail, fix)


def estimate(step: Planned, at: Context) -> Any:
    """Memory of a training step; None where its base is not at hand or it is no step of that kind."""
    if not isinstance(step.step, training.Fitting) or at.plan.recipe.base == "tiny":
        return None
    from xinglin.train.estimate import estimate as needed

    base = next((one for one in at.plan.steps if one.name == "base"), None)
    spec = _spec(at.plan, base) if base else ""
    if not spec or not Path(spec).is_dir():
        return None
    return needed(spec, tuning(step.step), schedule(step.step, at))


def _conversations(step: training.Sft, at: Context) -> Iterator[Diagnosis]:
    """What becomes of the conversations of an SFT step at its length."""
    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.preflight import inspect

    path = at.plan.folder(step.data) / SAMPLES
    first = next((one for one in at.plan.steps if one.name == step.model), None)
    where = at.plan.folder(step.model) / "model" if first and first.done else None
    if not path.is_file() or where is None:
        need = step.data if not path.is_file() else step.model
        yield Diagnosis("warn", f"{at.name} 数据 data", f"{need} 尚未完成 is not done", f"xinglin run … --until {need}")
        return
    samples = files.read_records(path, Sample)
    try:
        found = inspect(samples, Template(load.open_tokenizer(str(where))), length=step.length)
    except MedError as error:
        yield Diagnosis("fail", f"{at.name} 数据 data", error.problem, error.fix)
        return
    kept = found.samples - found.dropped
    detail = (
        f"{found.samples:,} 条，丢弃 dropped {found.dropped:,}，截短 shortened {found.shortened:,}，"
        f"结束符保留 end tokens kept {found.ended / kept:.1%}，目标词 targets {found.targets:.0%}，"
        f"行填充 rows full {found.fill:.0%}，最长 longest {found.longest:,}"
    )
    dropped = found.dropped > _MANY_DROPPED * found.samples
    fix = f"length 至少 at least {found.longest}, 现在 now {step.length}" if dropped else ""
    level: Level = "fail" if found.ended < kept else "warn" if dropped else "ok"
    yield Diagnosis(level, f"{at.name} 数据 data", detail, fix)
