"""What the steps for data do: records in, records of the same noun out, in the files that later steps read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from xinglin import files
from xinglin.errors import DataError, GateError
from xinglin.formats.row import Record
from xinglin.recipe import schema
from xinglin.recipe.context import HELDOUT, PAIRS, PASSAGES, SAMPLES, Context, Numbers
from xinglin.recipe.curation import NOUNS
from xinglin.types import Question, Sample

FILES = {
    "samples": (SAMPLES,),
    "preferences": (PAIRS, HELDOUT),
    "rankings": ("rankings.jsonl",),
    "questions": ("questions.jsonl",),
    "passages": (PASSAGES,),
}
"""The files of every noun; preferences are kept apart from those on which a reward model is measured."""
_KEYS = {
    "samples": "instruction, output (or messages)",
    "preferences": "prompt, chosen, rejected",
    "rankings": "instruction, output (a list, the best first)",
    "questions": "question, answer",
    "passages": "text",
}
"""Names of columns or keys by which rows become a noun, the plainest of many."""
HELD = 10
"""One in so many imported preferences is held out, by the hash of its prompt."""
Read = Callable[[], Iterator[Record]]
"""The records of one file from the start: a step that must know all of them first reads twice and holds none."""
Change = Callable[[Read, str], Iterable[Record]]
"""Records of one file, and its name, to the records that take their place."""


def import_(step: schema.Import, at: Context) -> Numbers:
    """Read files of a public format."""
    from xinglin.formats.reading import Import

    bad: list[object] = []
    job = Import(
        [at.plan.root / path for path in step.input],
        step.format,
        step.licence,
        step.max_dropped,
        drop=bad.append,
        moved=lambda count: at.progress(count, 0, {}),
    )
    wanted = NOUNS[step.noun]

    def fitting() -> Iterator[Record]:
        for record in job.records():
            if not isinstance(record, wanted):
                found = next(name for name, noun in NOUNS.items() if isinstance(record, noun))
                raise DataError(
                    f"rows are read as {found}, and {step.noun} are needed",
                    where=f"step {at.name!r}: {record.origin.source}",
                    fix=f"rows with {_KEYS[step.noun]} become {step.noun}; or name the format (format: …, all of them: "
                    f"xinglin data import --list), or the other noun (noun: {found})",
                )
            yield record

    try:
        if step.noun == "preferences":
            kept = list(fitting())
            at.write(PAIRS, [record for record in kept if not held(record)])
            files.write_records(at.folder / HELDOUT, [record for record in kept if held(record)])
        else:
            files.write_records(at.folder / FILES[step.noun][0], fitting())
    finally:
        if bad:  # also where there are too many: one can see why
            files.write_records(at.folder / "dropped.jsonl", bad)
    return {"kept": sum(one.kept for one in job.done), "dropped": len(bad), "files": len(job.done)}


def held(record: Record) -> bool:
    """Whether an imported preference or ranking is held out for measuring a reward model."""
    return int(files.digest_bytes(repr(getattr(record, "prompt", record.id)).encode())[:8], 16) % HELD == 0


def _noun(at: Context) -> str:
    made = schema.made(at.plan.recipe)[at.name]
    return next(noun for noun in schema.RECORDS if noun in made)


def _curate(step: schema.Curation, at: Context, change: Change) -> Numbers:
    """Pass the records of all inputs through `change`, file by file; returns how many went in and came out."""
    noun = _noun(at)
    counts = {"read": 0, "kept": 0}
    for name in FILES[noun]:
        paths = [path for one in step.inputs if (path := at.plan.folder(one) / name).is_file()]
        if not paths:
            continue

        before = counts["read"]

        def counted(paths: Sequence[Path] = paths, before: int = before) -> Iterator[Record]:
            number = before
            for path in paths:
                for record in files.stream_records(path, NOUNS[noun]):
                    number += 1
                    if number % 1000 == 0:
                        at.progress(number, 0, {})
                    yield record
            counts["read"] = number

        counts["kept"] += files.write_records(at.folder / name, change(counted, name))
    if not counts["kept"]:
        raise DataError("the step kept no record", where=at.name, fix="check its inputs and limits")
    return counts


def dedup(step: schema.Dedup, at: Context) -> Numbers:
    """Remove duplicates."""
    from xinglin.data.dedup import find

    removed: dict[str, int] = {"exact": 0, "near": 0}

    def change(read: Read, name: str) -> Iterable[Record]:
        found = find(read(), threshold=step.threshold, part=step.part)
        files.write_records(at.folder / f"removed.{name}", found.removals)
        for kind in removed:
            removed[kind] += found.count(kind)
        gone = {removal.at for removal in found.removals}
        return (record for place, record in enumerate(read()) if place not in gone)

    return _curate(step, at, change) | removed


def decontaminate(step: schema.Decontaminate, at: Context) -> Numbers:
    """Compare with evaluation sets; a hit that is not waived fails the run, or goes."""
    from xinglin.data.overlap import items_of, overlap
    from xinglin.formats.reading import Import

    items = [
        item
        for path in step.against
        for item in items_of(Path(path).stem, Import([at.plan.root / path], step.format).records())
    ]
    numbers: dict[str, int] = {}

    def change(read: Read, name: str) -> Iterable[Record]:
        found = overlap(read, items)
        files.write_records(at.folder / f"overlap.{name}", found.hits)
        numbers.update({f"contaminated {source}": count for source, count in found.contaminated.items()})
        counted = [hit for hit in found.hits if hit.source not in step.waive]
        if counted and not step.remove:
            sets = ", ".join(sorted({hit.source for hit in counted}))
            raise GateError(
                f"{len({(hit.source, hit.item) for hit in counted})} evaluation item(s) stand in the training data",
                where=f"step {at.name!r}: {sets}",
                fix=f"set remove: true, or name the set in waive; hits: {at.folder / f'overlap.{name}'}",
            )
        gone = {hit.train_at for hit in counted}
        return (record for place, record in enumerate(read()) if place not in gone)

    return _curate(step, at, change) | numbers | {f"waived {name}": 1 for name in step.waive}


def clean(step: schema.Clean, at: Context) -> Numbers:
    """Apply the cleaning rules."""
    from xinglin.data.clean import Cleaner, chosen
    from xinglin.data.intake import Rejection

    cleaner = Cleaner(chosen(step.rules, step.skip), shortest=step.shortest)
    rejected: list[Rejection] = []

    def reject(record: Record, rule: str, reason: str) -> None:
        rejected.append(Rejection(record.id, rule, reason, record.origin.source, record.origin.item))

    counts = _curate(step, at, lambda read, _: cleaner.clean(read(), reject))
    files.write_records(at.folder / "rejected.jsonl", rejected)
    turned = Counter(one.rule for one in rejected)
    return counts | {"changed": cleaner.records} | {"rules": dict(cleaner.changed), "rejected": dict(turned)}


def deidentify(step: schema.Deidentify, at: Context) -> Numbers:
    """Take personal data out; what was taken out is counted by type and not kept."""
    from xinglin.safety.redaction import read_key, redact_record

    key = read_key(at.plan.root / step.key) if step.key else b""
    removed: Counter[str] = Counter()

    def change(read: Read, _: str) -> Iterator[Record]:
        for record in read():
            changed, entities = redact_record(record, step.policy, key=key)
            removed.update(entity.type for _, entity in entities)
            yield changed

    return _curate(step, at, change) | {"removed": dict(removed)}


def split(step: schema.Split, at: Context) -> Numbers:
    """Keep one part of a split by group."""
    from xinglin.data.split import Part, group_of, part_of

    parts = (Part("train", share=1 - step.test), Part("test", share=step.test))

    def change(read: Read, _: str) -> Iterator[Record]:
        return (record for record in read() if part_of(group_of(record), parts, at.seed) == step.part)

    return _curate(step, at, change)


def mix(step: schema.Mix, at: Context) -> Numbers:
    """Draw from the inputs by weight."""
    from xinglin.data.mix import Ingredient, Plan
    from xinglin.data.mix import mix as draw

    noun = _noun(at)
    taken: dict[str, int] = {}
    for name in FILES[noun]:
        weights = step.weights or [0.0] * len(step.inputs)
        ingredients = [
            Ingredient(one, lambda path=path: files.stream_records(path, NOUNS[noun]), weight, step.cap)
            for one, weight in zip(step.inputs, weights, strict=True)
            # Not every step holds some out.
            if (path := at.plan.folder(one) / name).is_file() and (name != HELDOUT or path.stat().st_size)
        ]
        if ingredients:
            done = draw(ingredients, at.folder / name, Plan(seed=at.seed, most=step.most))
            for source in done.sources:
                taken[source.name] = taken.get(source.name, 0) + source.taken
        elif name == HELDOUT:
            files.write_records(at.folder / name, [])
    return {"kept": sum(taken.values()), "taken": taken}


def noise(step: schema.Noise, at: Context) -> Numbers:
    """Add noisy copies of samples and questions after their originals; other nouns pass as they are."""
    from xinglin.data.noise import Noise

    maker = Noise(wanted=[("mixed", step.level)], seed=at.seed, share=step.share)
    copies = 0

    def change(read: Read, _: str) -> Iterator[Record]:
        nonlocal copies
        for record in read():
            yield record
            if isinstance(record, Sample | Question):
                for copy in maker.copies(record):
                    copies += 1
                    yield copy

    return _curate(step, at, change) | {"copies": copies}
