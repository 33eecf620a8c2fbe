"""Cleaning: the rules over every text of a record, then the filters over the record, all of it counted by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from xinglin.data.filters import FILTERS, SHORTEST, Filter, Parts, parts
from xinglin.data.intake import Intake, pass_through, write_report
from xinglin.data.rules import ODD, RULES, Rule
from xinglin.errors import RecipeError
from xinglin.files import digest_file
from xinglin.formats.nouns import map_texts, texts_of
from xinglin.formats.row import Record
from xinglin.types import Question

_ROUNDS = 12
"""Times that the rules are gone through until nothing changes: what one uncovers another may take."""
NAMES = (*(rule.name for rule in RULES), *(one.name for one in FILTERS))
"""Names of all rules and filters."""


def chosen(rules: Sequence[str] = (), skip: Sequence[str] = ()) -> frozenset[str]:
    """The names that are meant by `--rules` (all, if none is given) without `--skip`; an unknown one is an error."""
    for name in (*rules, *skip):
        if name not in NAMES:
            raise RecipeError(f"no cleaning rule {name!r}", where="clean rules", fix=f"rules: {', '.join(NAMES)}")
    return frozenset(rules or NAMES) - frozenset(skip)


Steps = tuple[tuple[str, Callable[[str], object], Callable[[str], str], bool], ...]


def _steps(rules: Iterable[Rule]) -> Steps:
    """What the inner loop needs of each rule: its name, look and change, and whether it is final."""
    return tuple((rule.name, rule.may, rule.change, rule.final) for rule in rules)


@dataclass(slots=True)
class Cleaner:
    """Cleans and counts: `changed` texts by rule, `records` that changed and stayed, `spanned` that were left alone.

    Clean twice and the second time nothing changes. A Question with spans is left as it is: its offsets would move.
    """

    names: frozenset[str] = frozenset(NAMES)
    shortest: int = SHORTEST
    changed: Counter[str] = field(default_factory=Counter)
    records: int = 0
    spanned: int = 0
    rules: tuple[Rule, ...] = field(init=False)
    steps: Steps = field(init=False, repr=False)
    plain: Steps = field(init=False, repr=False)
    filters: tuple[Filter, ...] = field(init=False)

    def __post_init__(self) -> None:
        self.rules = tuple(rule for rule in RULES if rule.name in self.names)
        self.steps = _steps(self.rules)
        self.plain = _steps(rule for rule in self.rules if not rule.odd)
        self.filters = tuple(one for one in FILTERS if one.name in self.names)

    def text(self, text: str) -> str:
        """A text after the rules."""
        used: list[str] = []
        for _ in range(_ROUNDS):
            again = False
            for name, may, change, final in self.steps if ODD.search(text) else self.plain:
                if may(text) and (after := change(text)) != text:
                    text = after
                    used.append(name)
                    again = again or not final
            if not again:
                break
        if used:
            self.changed.update(set(used))
        return text

    def record(self, record: Record) -> Record:
        """A record after the rules, with the same id; the record itself if none changed it."""
        if isinstance(record, Question) and record.spans:
            self.spanned += 1
            return record
        texts = texts_of(record)
        cleaned = [self.text(text) for _, text in texts]
        if all(after == before for after, (_, before) in zip(cleaned, texts, strict=True)):
            return record
        ready = {path: after for (path, _), after in zip(texts, cleaned, strict=True)}
        return map_texts(record, lambda path, text: ready[path])

    def fault(self, one: Parts, without: str = "") -> tuple[str, str] | None:
        """The name of the filter that turns a record of these parts away, and its reason; None keeps it."""
        for each in self.filters:
            if each.name != without and (reason := each.why(one, self.shortest)):
                return each.name, reason
        return None

    def clean(
        self, records: Iterable[Record], reject: Callable[[Record, str, str], None] = lambda record, rule, reason: None
    ) -> Iterator[Record]:
        """The records that stay, cleaned; `reject(record, rule, reason)` hears of the others."""
        cut = next((one for one in self.filters if one.name == "truncated"), None)
        for record in records:
            came = parts(record)
            # Rules take the marks of a cut end away, so that end is looked at as it came.
            if cut and (reason := cut.why(came, self.shortest)):
                reject(record, cut.name, reason)
                continue
            cleaned = self.record(record)
            fault = self.fault(came, "truncated") if cleaned is record else self.fault(parts(cleaned))
            if fault:
                reject(record, *fault)
            else:
                self.records += cleaned is not record
                yield cleaned


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What a cleaning did: lines that were no records, records read, kept, changed and left alone because of spans;
    `rules` counts texts changed by rule, `rejected` records turned away by filter (0 where none)."""

    read: int
    kept: int
    changed: int
    dropped: int
    spanned: int
    rules: dict[str, int]
    rejected: dict[str, int]
    shortest: int
    inputs: dict[str, str]


def clean_files(job: Intake, out: Path, cleaner: Cleaner) -> Cleaned:
    """Clean files into `out`; OUT.rejected.jsonl says what was turned away and why, OUT.report.json what changed.

    Raises DataError when more than `job.max_dropped` of the lines are no records; then `out` is not written.
    """
    pass_through(job, out, lambda records: cleaner.clean(records, job.reject))
    done = Cleaned(
        read=job.read,
        kept=job.kept,
        changed=cleaner.records,
        dropped=job.dropped,
        spanned=cleaner.spanned,
        rules={rule.name: cleaner.changed[rule.name] for rule in cleaner.rules},
        rejected={one.name: job.rejected[one.name] for one in cleaner.filters},
        shortest=cleaner.shortest,
        inputs={path.name: digest_file(path) for path in job.paths},
    )
    write_report(out, "clean", done)
    return done
