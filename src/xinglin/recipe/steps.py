"""What each step of a recipe does: reads the nouns of its inputs, calls one room, writes its own noun.

A change of a step's results for the same configuration raises its number in `versions`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from xinglin import files
from xinglin.errors import DataError
from xinglin.recipe import curate, schema
from xinglin.recipe.context import CHOICE, FACTS, HELDOUT, PAIRS, PASSAGES, RECALL, SAMPLES, Context, Numbers, spread
from xinglin.types import Fact, Passage, Preference, Sample

DROPPED = "facts.dropped.jsonl"
"""What an import could not read: file, line and reason."""


def knowledge(step: schema.KnowledgeStep, at: Context) -> Numbers:
    """Import facts from every source."""
    from xinglin.knowledge.sources import import_source

    facts: dict[str, Fact] = {}
    dropped: list[Any] = []
    counts: dict[str, Any] = {}
    for number, source in enumerate(step.sources, 1):
        imported = import_source(source, root=at.plan.root)
        facts.update({fact.id: fact for fact in imported.facts})
        dropped += imported.dropped
        counts[source] = dict(imported.counts) | {"facts": len(imported.facts), "encoding": imported.encoding}
        at.progress(number, len(step.sources), {"facts": len(facts)})
    files.write_records(at.folder / DROPPED, dropped)
    rows = sum(one.get("rows", 0) for one in counts.values())
    if len(dropped) > step.max_dropped * rows:
        first = dropped[0]
        raise DataError(
            f"{len(dropped)} of {rows} rows are unreadable; first: {first.reason}",
            where=first.where,
            fix=f"mend what {at.folder / DROPPED} lists, or raise max_dropped (now {step.max_dropped}) of {at.name!r}",
        )
    at.write(FACTS, list(facts.values()))
    return {"facts": len(facts), "dropped": len(dropped), "sources": counts}


def select(step: schema.Select, at: Context) -> Numbers:
    """Choose the topics to teach."""
    from xinglin.data.topics import Choice, group_topics
    from xinglin.data.topics import select as choose
    from xinglin.knowledge.patterns import read_patterns

    topics = group_topics(at.read(step.facts, FACTS, Fact), read_patterns())
    choice = Choice(tuple(step.relations), step.topics, step.longest, at.seed)
    chosen = choose(topics, choice)
    at.write(FACTS, [fact for topic in chosen for fact in topic.facts])
    return {"topics": len(chosen), "of": len(topics)}


def statements(step: schema.Statements, at: Context) -> Numbers:
    """Write facts as sentences."""
    from xinglin.data.statements import state
    from xinglin.data.topics import group_topics
    from xinglin.knowledge.patterns import read_patterns

    patterns = read_patterns()
    topics = group_topics(at.read(step.facts, FACTS, Fact), patterns)
    return {"passages": at.write(PASSAGES, state(topics, patterns, step=at.name))}


def templates(step: schema.Templates, at: Context) -> Numbers:
    """Write facts as questions and answers."""
    from xinglin.data.templates import build
    from xinglin.data.topics import group_topics
    from xinglin.knowledge.patterns import read_patterns

    patterns = read_patterns()
    topics = group_topics(at.read(step.facts, FACTS, Fact), patterns)
    built = build(topics, patterns, phrasings=range(step.skip, step.skip + step.phrasings), seed=at.seed, step=at.name)
    at.write(SAMPLES, built.samples)
    at.write(RECALL, built.recall)
    files.write_records(at.folder / CHOICE, built.choice)
    return {"samples": len(built.samples), "recall": len(built.recall), "choice": len(built.choice)}


def pairs(step: schema.PairsStep, at: Context) -> Numbers:
    """Write facts as preference pairs."""
    from xinglin.data.pairs import Deal, build
    from xinglin.data.topics import group_topics
    from xinglin.knowledge.patterns import read_patterns

    patterns = read_patterns()
    topics = group_topics(at.read(step.facts, FACTS, Fact), patterns)
    deal = Deal(per_topic=step.per_topic, heldout=step.heldout, skip=step.skip)
    built = build(topics, patterns, deal=deal, seed=at.seed, step=at.name)
    at.write(PAIRS, built.train)
    at.write(HELDOUT, built.heldout)
    return {"train": len(built.train), "heldout": len(built.heldout)}


def base(step: schema.Base, at: Context) -> Numbers:
    """Make the tiny model from nothing, or take over a given one."""
    from xinglin.model import load, tiny

    if step.model == "tiny":
        texts = [text for name in step.text for text in _texts(at, name)]
        size = tiny.Size(pieces=step.pieces, hidden=step.hidden, feed_forward=3 * step.hidden, layers=step.layers)
        model, tokenizer = tiny.make(texts, size=size, seed=at.seed)
    else:
        beside = at.plan.root / step.model
        spec = str(beside) if beside.is_dir() else step.model
        model, tokenizer = load.open_pair(spec)
    load.save(model, tokenizer, at.folder / load.FOLDER, stage="base", base=step.model)
    parameters = sum(weight.numel() for weight in model.parameters())
    return {"parameters": parameters, "vocabulary": len(tokenizer)}


def _texts(at: Context, step: str) -> list[str]:
    folder = at.plan.folder(step)
    if (folder / PASSAGES).is_file():
        return [passage.text for passage in at.read(step, PASSAGES, Passage)]
    return [message.content for sample in at.read(step, SAMPLES, Sample) for message in sample.messages]


def _schedule(step: schema.Training, at: Context) -> Any:
    from xinglin.train.fit import Schedule

    return Schedule(epochs=step.epochs, batch=step.batch, rate=step.rate, seed=at.seed, length=step.length)


def _curve(at: Context, stage: str) -> None:
    from xinglin.train.curves import draw

    draw(at.folder / "metrics.jsonl", at.folder / "curve.png", stage=stage)


def _row_numbers(rows: Any) -> Numbers:
    return {"samples": rows.samples, "dropped": rows.dropped, "tokens": rows.tokens, "targets": rows.targets}


def pretrain(step: schema.Pretrain, at: Context) -> Numbers:
    """Train on text."""
    from xinglin.train.pretrain import pretrain as stage

    passages = at.read(step.data, PASSAGES, Passage)
    rows = stage(
        at.model(step.model),
        passages,
        at.folder,
        schedule=_schedule(step, at),
        progress=at.progress,
    )
    _curve(at, at.name)
    return _row_numbers(rows)


def sft(step: schema.Sft, at: Context) -> Numbers:
    """Train on conversations."""
    from xinglin.train.sft import sft as stage

    samples = at.read(step.data, SAMPLES, Sample)
    rows = stage(at.model(step.model), samples, at.folder, schedule=_schedule(step, at), progress=at.progress)
    _curve(at, at.name)
    return _row_numbers(rows)


def reward(step: schema.Reward, at: Context) -> Numbers:
    """Train a reward model and measure it on the held-out pairs."""
    from xinglin.metrics.choice import wilson
    from xinglin.model.rewarder import Rewarder
    from xinglin.train.reward import reward as stage

    train = at.read(step.data, PAIRS, Preference)
    stage(at.model(step.model), train, at.folder, schedule=_schedule(step, at), progress=at.progress)
    _curve(at, at.name)
    heldout = at.read(step.data, HELDOUT, Preference)
    margins = Rewarder(at.folder / "model").margins(heldout)
    right = sum(margin > 0 for margin in margins)
    low, high = wilson(right, len(margins))
    return {"pairs": len(train), "heldout": len(margins), "accuracy": right / len(margins), "low": low, "high": high}


def reject(step: schema.Reject, at: Context) -> Numbers:
    """Sample answers, keep the best by reward, train on them."""
    from xinglin.train.reject import keep_best
    from xinglin.train.sft import sft as stage

    prompts = at.read(step.prompts, SAMPLES, Sample)
    draws = _draws(step, at, spread(prompts, step.most))
    kept = keep_best(draws, keep=step.keep, step=at.name, model=step.model)
    at.write(SAMPLES, kept)
    rows = stage(at.model(step.model), kept, at.folder, schedule=_schedule(step, at), progress=at.progress)
    _curve(at, at.name)
    mean = sum(draw.reward for draw in draws) / len(draws)
    best = sum(sample.extra["reward"] for sample in kept) / len(kept)
    return _row_numbers(rows) | {"drawn": len(draws), "kept": len(kept), "mean_reward": mean, "kept_reward": best}


def _draws(step: schema.Reject, at: Context, prompts: list[Sample]) -> list[Any]:
    from xinglin.chat.local import Local
    from xinglin.model.rewarder import Rewarder
    from xinglin.train.reject import Draw, prompt_of
    from xinglin.types import Message, Sampling

    policy = Local(at.model(step.model), name=step.model)
    sampling = Sampling(max_tokens=step.max_tokens, temperature=step.temperature, seed=at.seed)
    asked = [sample for sample in prompts for _ in range(step.samples)]
    replies = policy.answer([prompt_of(sample) for sample in asked], sampling)
    conversations = [
        [*prompt_of(sample), Message("assistant", reply.text)] for sample, reply in zip(asked, replies, strict=True)
    ]
    rewards = Rewarder(at.model(step.reward)).rewards(conversations)
    return [Draw(sample, reply.text, value) for sample, reply, value in zip(asked, replies, rewards, strict=True)]


def dpo(step: schema.Dpo, at: Context) -> Numbers:
    """Align on preference pairs."""
    from xinglin.train.preference import DEFAULTS, align

    train = spread(at.read(step.data, PAIRS, Preference), step.most)
    pull = replace(DEFAULTS["dpo"], beta=step.beta, anchor=step.anchor)
    align(at.model(step.model), train, at.folder, pull=pull, schedule=_schedule(step, at), progress=at.progress)
    _curve(at, at.name)
    return {"pairs": len(train)}


def evaluate(step: schema.Evaluate, at: Context) -> Numbers:
    """Measure every model against its parent and write the report."""
    from xinglin.recipe.measure import measure

    return measure(step, at)


STEPS: dict[type[schema.Step], Callable[[Any, Context], Numbers]] = {
    schema.KnowledgeStep: knowledge,
    schema.Import: curate.import_,
    schema.Clean: curate.clean,
    schema.Deidentify: curate.deidentify,
    schema.Dedup: curate.dedup,
    schema.Decontaminate: curate.decontaminate,
    schema.Split: curate.split,
    schema.Mix: curate.mix,
    schema.Noise: curate.noise,
    schema.Select: select,
    schema.Statements: statements,
    schema.Templates: templates,
    schema.PairsStep: pairs,
    schema.Base: base,
    schema.Pretrain: pretrain,
    schema.Sft: sft,
    schema.Reward: reward,
    schema.Reject: reject,
    schema.Dpo: dpo,
    schema.Evaluate: evaluate,
}
