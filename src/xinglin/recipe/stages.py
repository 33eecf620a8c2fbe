"""What the training steps of a recipe do: read records, call one stage of `train`, write weights and curves."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

from xinglin import files
from xinglin.recipe import curate, training
from xinglin.recipe.context import HELDOUT, PAIRS, PASSAGES, SAMPLES, Context, Numbers, spread
from xinglin.types import Passage, Preference, Ranking, Sample

JUDGED = "judged.json"


def texts(at: Context, step: str) -> list[str]:
    """The text of a step that makes passages or samples."""
    folder = at.plan.folder(step)
    if (folder / PASSAGES).is_file():
        return [passage.text for passage in at.read(step, PASSAGES, Passage)]
    return [message.content for sample in at.read(step, SAMPLES, Sample) for message in sample.messages]


def schedule(step: training.Fitting, at: Context) -> Any:
    """The step's knobs as the schedule of a stage."""
    from xinglin.train.fit import Schedule
    from xinglin.train.launch import Launch

    named = {name for name in Schedule.__dataclass_fields__ if name in type(step).model_fields}
    launch = Launch(**at.plan.recipe.launch.model_dump())
    return Schedule(seed=at.seed, launch=launch, **{name: getattr(step, name) for name in named})


def tuning(step: training.Fitting | training.Online | training.Distill) -> Any:
    """What the step trains."""
    from xinglin.model.adapter import Tuning

    lora = step.lora or training.Lora()
    if step.tune not in training.ADAPTERS:
        return Tuning(step.tune)
    return Tuning(step.tune, lora.rank, lora.alpha, lora.dropout, tuple(lora.targets), lora.embeddings)


def curves(at: Context) -> None:
    """Draw the curves of the stage that has just ended."""
    if not at.writes:
        return
    from xinglin.train.curves import draw, write_page

    metrics = at.folder / "metrics.jsonl"
    draw(metrics, at.folder / "curve.png", stage=at.name)
    write_page(metrics, at.folder / "curve.html", stage=at.name, about=f"{at.plan.recipe.name} · seed {at.seed}")


def _heldout(at: Context) -> dict[str, float]:
    """What a training with held-out data has measured on it."""
    from xinglin.train.fit import HELDOUT as MEASURED

    path = at.folder / MEASURED
    return files.read_json(path) if path.is_file() else {}


def vocab(step: training.Vocab, at: Context) -> Numbers:
    """Learn new pieces and add them to a model."""
    from xinglin.model.vocab import extend

    made = extend(
        at.model(step.model),
        (text for name in step.text for text in texts(at, name)),
        at.folder / "model",
        pieces=step.pieces,
        multiple=step.multiple,
        seed=at.seed,
    )
    files.write_json(at.folder / "vocab.json", asdict(made))
    return {name: value for name, value in asdict(made).items() if isinstance(value, int | float)}


def pretrain(step: training.Pretrain, at: Context) -> Numbers:
    """Train on text."""
    from xinglin.train.pretrain import pretrain as stage

    passages = at.read(step.data, PASSAGES, Passage)
    rows = stage(
        at.model(step.model),
        passages,
        at.folder,
        schedule=schedule(step, at),
        tuning=tuning(step),
        progress=at.progress,
    )
    curves(at)
    return rows.numbers() | _heldout(at)


def sft(step: training.Sft, at: Context) -> Numbers:
    """Train on conversations."""
    from xinglin.train.sft import sft as stage

    samples = at.read(step.data, SAMPLES, Sample)
    rows = stage(
        at.model(step.model),
        samples,
        at.folder,
        schedule=schedule(step, at),
        tuning=tuning(step),
        neftune=step.neftune,
        progress=at.progress,
    )
    curves(at)
    return rows.numbers() | _heldout(at)


def reward(step: training.Reward, at: Context) -> Numbers:
    """Train a reward model and measure it on what was held out."""
    from xinglin.model.rewarder import Rewarder
    from xinglin.train.heldout import apart
    from xinglin.train.judged import judge
    from xinglin.train.reward import reward as stage

    given, heldout = comparisons(at, step.data)
    train = apart(given, heldout)
    rows = stage(
        at.model(step.model),
        train,
        at.folder,
        schedule=schedule(step, at),
        tuning=tuning(step),
        prefixes=step.prefixes,
        progress=at.progress,
    )
    curves(at)
    trained = sum(len(row.groups) for row in rows.rows)
    counts = {"trained": trained, "dropped": len(train) - trained, "leaked": len(given) - len(train)}
    if not heldout or not at.writes:
        return counts | {"heldout": 0}
    judged = judge(Rewarder(at.folder / "model"), heldout)
    files.write_json(at.folder / JUDGED, asdict(judged))
    numbers = {name: value for name, value in asdict(judged).items() if name != "bins"}
    return counts | {"heldout": len(heldout)} | numbers


def comparisons(at: Context, step: str) -> tuple[list[Preference | Ranking], list[Preference | Ranking]]:
    """The preferences or rankings of a step to train on, and those held out."""
    folder = at.plan.folder(step)
    rankings = curate.FILES["rankings"][0]
    if (folder / rankings).is_file():
        every = at.read(step, rankings, Ranking)
        return [one for one in every if not curate.held(one)], [one for one in every if curate.held(one)]
    return [*at.read(step, PAIRS, Preference)], [*at.read(step, HELDOUT, Preference)]


def prefer(step: training.Prefer, at: Context) -> Numbers:
    """Align on preference pairs."""
    from xinglin.train.preference import DEFAULTS, align

    train = spread(at.read(step.data, PAIRS, Preference), step.most)
    given = {name: getattr(step, name) for name in ("beta", "anchor", "gamma")}
    rows = align(
        at.model(step.model),
        train,
        at.folder,
        pull=replace(DEFAULTS[step.do], **{name: value for name, value in given.items() if value is not None}),
        schedule=schedule(step, at),
        tuning=tuning(step),
        progress=at.progress,
    )
    curves(at)
    return {"pairs": len(train)} | rows.numbers()


def merge(step: training.Merge, at: Context) -> Numbers:
    """Put an adapter into the weights of its base."""
    from xinglin.model.merge import merge as put_together

    return {"difference": put_together([at.model(step.model)], at.folder / "model")}
