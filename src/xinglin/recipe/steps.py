"""What each step of a recipe does: reads the nouns of its inputs, calls one room, writes its own noun.

A change of a step's results for the same configuration raises its number in `versions`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from xinglin import files
from xinglin.errors import DataError
from xinglin.recipe import curate, online, schema, stages, training
from xinglin.recipe.context import CHOICE, FACTS, HELDOUT, PAIRS, PASSAGES, RECALL, SAMPLES, Context, Numbers
from xinglin.types import Fact

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
    from xinglin.model.take import take

    if step.model == "tiny":
        texts = [text for name in step.text for text in stages.texts(at, name)]
        size = tiny.Size(pieces=step.pieces, hidden=step.hidden, feed_forward=3 * step.hidden, layers=step.layers)
        model, tokenizer = tiny.make(texts, size=size, seed=at.seed)
        load.save(model, tokenizer, at.folder / load.FOLDER, stage="base", base=step.model)
        parameters, vocabulary = sum(weight.numel() for weight in model.parameters()), len(tokenizer)
    else:
        beside = at.plan.root / step.model
        spec = str(beside) if beside.is_dir() else step.model
        parameters, vocabulary = take(spec, at.folder / load.FOLDER, name=step.model)
    return {"parameters": parameters, "vocabulary": vocabulary}


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
    training.Vocab: stages.vocab,
    training.Pretrain: stages.pretrain,
    training.Sft: stages.sft,
    training.Reward: stages.reward,
    training.Contrast: online.contrast,
    training.Reject: online.reject,
    training.Prefer: stages.prefer,
    training.Ppo: online.ppo,
    training.Grouped: online.grouped,
    training.Distill: online.distill,
    training.Merge: stages.merge,
    schema.Evaluate: evaluate,
}
