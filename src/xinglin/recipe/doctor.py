"""`xinglin doctor`: the machine and a recipe, looked at before an hour of computing is spent."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from xinglin.errors import MedError
from xinglin.recipe import curate, parallel, schema, training
from xinglin.recipe.context import PAIRS, PASSAGES, SAMPLES, Context, spread
from xinglin.recipe.plan import Plan, Planned
from xinglin.recipe.stages import comparisons, schedule, tuning
from xinglin.text import spell_seconds
from xinglin.types import Passage, Sample

Level = Literal["ok", "warn", "fail"]
RANKINGS = curate.FILES["rankings"][0]
_RUNS_MODELS = (training.Fitting, training.Online, training.Distill, training.Contrast)
"""Steps that train a model, or draw its answers."""
_MANY_DROPPED = 0.05
_ASKED = 512
"""Tokens of a prompt, where nothing has been drawn yet."""


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
    """What is right and wrong with a recipe's bases and training steps."""
    for step in plan.steps:
        if isinstance(step.step, schema.Base | training.Vocab):
            yield from _model(plan, step)
    for step in plan.steps:
        if not isinstance(step.step, _RUNS_MODELS):
            continue
        at = Context(step.folder, plan, step.name, plan.recipe.seed, lambda *_: None)
        yield from _memory(step, at)
        if isinstance(step.step, _LEARNS):
            yield from _data(step.step, at)
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
        config: Any = load.open_config(str(load.below(spec)))
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
    if isinstance(step.step, schema.Base) and step.step.model != "tiny" and Path(spec).is_dir():
        yield from _smoke(plan, spec, step.name)


def _smoke(plan: Plan, spec: str, name: str) -> Iterator[Diagnosis]:
    """Whether a given model knows Chinese at all: one that was damaged on its way finds every word as likely."""
    from xinglin.model.machine import look
    from xinglin.train.preflight import surprise

    size = sum(path.stat().st_size for path in Path(spec).glob("*.safetensors")) / 2**30
    room = look(plan.runs).training
    what = f"{name} 试读 smoke test"
    if 2 * size > room:
        yield Diagnosis("ok", what, f"跳过 skipped: {size:.0f} GiB 权重 of weights, {room:.0f} GiB 内存 of memory")
        return
    try:
        found, level = surprise(spec)
    except MedError as error:
        yield Diagnosis("fail", what, f"{error.where}: {error.problem}", error.fix)
        return
    detail = f"中文句子的困惑度 perplexity of a Chinese sentence {found:,.1f}，均匀猜测 a blind guess {level:,}"
    fix = "" if found < level / 2 else "核对权重是否完整 check that these are the model's weights, and trained ones"
    yield Diagnosis("warn" if fix else "ok", what, detail, fix)


def _spec(plan: Plan, step: Planned) -> str:
    """Where a model's files are: in its folder if the step is done, else for a given base where it comes from."""
    if step.done:
        return str(step.folder / "model")
    named = getattr(step.step, "model", "")
    if not isinstance(step.step, schema.Base) or named == "tiny":
        return ""
    return str(plan.root / named) if (plan.root / named).is_dir() else named


def _memory(step: Planned, at: Context) -> Iterator[Diagnosis]:
    """Whether a stage fits the memory of this machine, and its samples the model's context."""
    try:
        memory = estimate(step, at)
    except MedError:
        return  # a base that cannot be read has a line of its own
    if memory is None:
        return
    from xinglin.model.machine import look
    from xinglin.train.estimate import architecture, cache_bytes, fits

    room = look(at.plan.runs).training
    config = architecture(_ground(at.plan, step))
    knob = "length" if isinstance(step.step, training.Fitting) else "max_tokens"
    length = getattr(step.step, knob)
    detail = (
        f"约 about {memory.total:.1f} GiB / {room:.0f} GiB；训练 trained {memory.trained:,} / {memory.parameters:,}；"
        f"对话缓存 cache of a session of {length:,}: {length * cache_bytes(config) / 2**30:.2f} GiB"
    )
    fix = fits(memory, room, drawing=isinstance(step.step, training.Online | training.Distill))
    yield Diagnosis("warn" if fix else "ok", f"{step.name} 内存 memory", detail, fix)
    most = getattr(config, "max_position_embeddings", None) or length
    if length > most:
        detail = f"{knob} {length:,}，底座的上下文 the base's context {most:,}"
        yield Diagnosis("fail", f"{step.name} 长度 length", detail, f"{knob}: {most}")


def _ground(plan: Plan, step: Planned) -> str:
    """The folder of the model that a step's model comes from in the end; empty where it is not at hand."""
    behind = plan.behind(step.name)
    below = [one for one in plan.steps if one.name in behind and isinstance(one.step, schema.Base)]
    spec = _spec(plan, below[0]) if below else ""
    return spec if spec and Path(spec).is_dir() else ""


def estimate(step: Planned, at: Context) -> Any:
    """Memory of a step that trains or draws; None where its base is not at hand or it is no step of that kind."""
    if not isinstance(step.step, _RUNS_MODELS) or not (spec := _ground(at.plan, step)):
        return None
    from xinglin.train.estimate import Drawing, architecture, estimate_drawing, estimate_online, estimate_rejection
    from xinglin.train.estimate import estimate as needed
    from xinglin.train.launch import ALONE

    one = step.step
    if isinstance(one, training.Drawn):
        drawing = Drawing(critic=False, frozen=int(one.reward is not None), tokens=_ASKED + one.max_tokens)
        if not isinstance(one, training.Reject):
            return estimate_drawing(architecture(spec), drawing)
        # It is never shared out, whatever `launch` says.
        alone = replace(schedule(one, at), launch=ALONE)
        return estimate_rejection(architecture(spec), tuning(one), alone, drawing)
    if isinstance(one, training.Fitting):
        return needed(spec, tuning(one), schedule(one, at))
    distils = isinstance(one, training.Distill)
    judges = distils or one.reward is not None
    drawing = Drawing(isinstance(one, training.Ppo), int(judges), _ASKED + one.max_tokens, measured=not distils)
    return estimate_online(architecture(spec), tuning(one), drawing)


_LEARNS = training.Pretrain | training.Sft | training.Prefer | training.Reward
"""Steps that train on data they are given."""


def _data(step: _LEARNS, at: Context) -> Iterator[Diagnosis]:
    """What becomes of the texts, conversations or comparisons of a step at its length, and how long it will take."""
    from xinglin.model import load
    from xinglin.model.render import Template
    from xinglin.train.estimate import architecture

    what = f"{at.name} 数据 data"
    first = next(one for one in at.plan.steps if one.name == step.model)
    where = _spec(at.plan, first)
    there = any((at.plan.folder(step.data) / name).is_file() for name in (PASSAGES, SAMPLES, PAIRS, RANKINGS))
    if not there or not where:
        need = step.model if there else step.data
        yield Diagnosis("warn", what, f"{need} 尚未完成 is not done", f"xinglin run … --until {need}")
        return
    try:
        found = _inspect(step, at, Template(load.open_tokenizer(where)))
        shape = architecture(where)
    except MedError as error:
        yield Diagnosis("fail", what, f"{error.where}: {error.problem}".removeprefix(": "), error.fix)
        return
    kept = found.samples - found.dropped
    detail = (
        f"{found.samples:,} 条，丢弃 dropped {found.dropped:,}，截短 shortened {found.shortened:,}，"
        f"结束符保留 end tokens kept {found.ended / kept:.1%}，目标词 targets {found.targets:.0%}，"
        f"行填充 rows full {found.fill:.0%}，最长 longest {found.longest:,}"
    )
    if found.lost:
        detail += f"；丢弃的 dropped: {', '.join(found.lost)}"
    dropped = found.dropped > _MANY_DROPPED * found.samples
    fix = "删去空的和没有回答的记录 remove records that are empty or have no answer"
    if found.longest > step.length:
        fix = f"length 至少 at least {found.longest}, 现在 now {step.length}"
    level: Level = "fail" if found.ended < kept else "warn" if dropped else "ok"
    yield Diagnosis(level, what, detail, fix if dropped else "")
    yield from _time(step, at, shape, found)


def _inspect(step: _LEARNS, at: Context, template: Any) -> Any:
    from xinglin.train.heldout import apart
    from xinglin.train.preference import WITH_STRANGERS
    from xinglin.train.preflight import inspect, inspect_groups, inspect_texts

    if isinstance(step, training.Pretrain):
        return inspect_texts(at.read(step.data, PASSAGES, Passage), template, length=step.length)
    if isinstance(step, training.Sft):
        return inspect(at.read(step.data, SAMPLES, Sample), template, length=step.length)
    given, heldout = comparisons(at, step.data)
    chosen = spread(given, step.most) if isinstance(step, training.Prefer) else apart(given, heldout)
    return inspect_groups(chosen, template, length=step.length, strangers=step.do in WITH_STRANGERS)


def _time(step: _LEARNS, at: Context, shape: Any, seen: Any) -> Iterator[Diagnosis]:
    """How long a step will take on this machine."""
    from xinglin.train.duration import duration
    from xinglin.train.preference import ALONE

    tokens = sum(seen.segments)
    took = duration(
        shape, tuning(step), schedule(step, at), segments=seen.segments,
        # A reward model has no output layer over words.
        targets=0 if isinstance(step, training.Reward) else round(seen.targets * tokens),
        reference=isinstance(step, training.Prefer) and step.do not in ALONE,
    )  # fmt: skip
    if took is not None:
        trained = round(tokens * (1 - getattr(step, "heldout", 0.0)))
        detail = f"约 about {spell_seconds(took)}；{trained:,} token × {step.epochs:g} 轮 epochs"
        yield Diagnosis("ok", f"{at.name} 时间 time", detail)
