"""De-identification of files: JSON Lines rows with `text`, or records as xinglin writes them, streamed."""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO, Any

from pydantic import ValidationError

from xinglin.errors import DataError, SafetyError
from xinglin.files import adapter, atomic, read_bytes, stream_lines
from xinglin.formats.nouns import map_texts, noun_of, texts_of
from xinglin.formats.row import Bad, Record
from xinglin.safety.entity import PLACEHOLDERS, Entity, Masked
from xinglin.safety.privacy import Policy, Redactor
from xinglin.types import Passage, Question

_SHORTEST_KEY = 16
_OFTEN = 200


@dataclass(slots=True)
class Redaction:
    """A file to de-identify: `patient` names the member (of a row, or of a record's extra) that says whose it is;
    `listed` keeps a list of what was removed; `moved` gets the number of rows so far."""

    path: Path
    policy: Policy = "mask"
    key: bytes = b""
    patient: str = ""
    max_dropped: float = 0.01
    listed: bool = True
    moved: Callable[[int], None] = lambda count: None


@dataclass(slots=True)
class Redacted:
    """What became of a file: rows written, rows dropped, rows with an entity, entities by type."""

    rows: int = 0
    dropped: int = 0
    touched: int = 0
    entities: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of output and what was removed from it: (path, entity); `record` is its id, "" for a row."""

    text: str
    record: str
    removed: list[tuple[str, Entity]]


def redact_file(job: Redaction, out: Path) -> Redacted:
    """De-identify a file into another, which appears whole or not at all; running again gives the same bytes.

    Lines that cannot be read go to `OUT.dropped.jsonl`; past `max_dropped` (a share) this is a DataError and there is
    no output. What was removed from records goes to `OUT.entities.jsonl`; rows carry it themselves.
    """
    done = Redacted()
    dropped, listed = _beside(out, "dropped"), _beside(out, "entities")
    for stale in (dropped, listed):
        stale.unlink(missing_ok=True)
    with ExitStack() as stack:
        bad_file = stack.enter_context(_optional(dropped))
        rows = stack.enter_context(atomic(out))
        entities = stack.enter_context(_optional(listed))
        for line in _lines(job, done, bad_file):
            rows.write(line.text + "\n")
            if line.record and job.listed:
                for path, entity in line.removed:
                    entities.write(_dump({"id": line.record, "path": path, **_plain(entity)}) + "\n")
        _check(job, done, bad_file)
    return done


def read_key(path: Path) -> bytes:
    """The secret of a key file; a file that does not exist is made, readable for its owner only.

    Whoever has it can link surrogates to guessed values: it must not travel with the data."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(os.urandom(32).hex() + "\n")
    key = read_bytes(path).strip()
    if len(key) < _SHORTEST_KEY:
        raise DataError(
            f"the key has {len(key)} bytes, {_SHORTEST_KEY} are needed",
            where=str(path),
            fix="remove the file and run again: a key is made",
        )
    return key


def _beside(out: Path, what: str) -> Path:
    return out.with_name(f"{out.name}.{what}.jsonl")


class _Late:
    """A file that is written on the first line only, so that there is none without lines."""

    def __init__(self, path: Path, stack: ExitStack) -> None:
        self.path = path
        self.stack = stack
        self.file: IO[str] | None = None

    def write(self, line: str) -> None:
        if self.file is None:
            self.file = self.stack.enter_context(atomic(self.path))
        self.file.write(line)

    def keep(self) -> None:
        """Make what was written so far last, whatever happens to the rest."""
        self.stack.close()


@contextmanager
def _optional(path: Path) -> Iterator[_Late]:
    with ExitStack() as stack:
        yield _Late(path, stack)


def _lines(job: Redaction, done: Redacted, bad_file: _Late) -> Iterator[_Line]:
    for number, line in stream_lines(job.path):
        if not line.strip():
            continue
        made = _line(line, f"{job.path}:{number}", job)
        if isinstance(made, Bad):
            done.dropped += 1
            bad_file.write(_dump({"where": made.where, "reason": made.reason}) + "\n")
            continue
        done.rows += 1
        done.touched += bool(made.removed)
        done.entities.update(entity.type for _, entity in made.removed)
        if done.rows % _OFTEN == 0:
            job.moved(done.rows)
        yield made
    job.moved(done.rows)


def _check(job: Redaction, done: Redacted, bad_file: _Late) -> None:
    total = done.rows + done.dropped
    if not total:
        raise DataError("no row in this file", where=str(job.path), fix="give JSON Lines with `text`, or records")
    if done.dropped > job.max_dropped * total:
        bad_file.keep()
        raise DataError(
            f"{done.dropped:,} of {total:,} lines could not be read, {job.max_dropped:.1%} may be",
            where=str(job.path),
            fix="see *.dropped.jsonl for lines and reasons; mend them, or raise --max-dropped",
        )


def _line(line: str, where: str, job: Redaction) -> _Line | Bad:
    try:
        value = json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        return Bad(where, "malformed JSON")  # json's own message would not quote the line, but say no more than needed
    if not isinstance(value, dict):
        return Bad(where, f"not an object but a JSON {type(value).__name__}")
    noun = noun_of(value)
    if noun is not None:
        try:
            return _record(adapter(noun).validate_python(value), job)
        except ValidationError as error:
            place = ".".join(map(str, error.errors(include_url=False, include_input=False)[0]["loc"]))
            return Bad(where, f"not a {noun.__name__}: {place}")
    if not isinstance(value.get("text"), str):
        return Bad(where, "no member `text`, and not a record of xinglin")
    return _row(value, job)


def _row(value: dict[str, Any], job: Redaction) -> _Line:
    masked = _redactor(job, value).redact([value["text"]])[0]
    listed = {"entities": [_plain(one) for one in masked.entities]} if job.listed else {}
    plain = {name: member for name, member in value.items() if name != "entities"}
    return _Line(_dump({**plain, "text": masked.text, **listed}), "", [("text", one) for one in masked.entities])


def _record(record: Record, job: Redaction) -> _Line:
    extra = getattr(record, "extra", {})
    patient = str(extra.get(job.patient, "")) if job.patient else ""
    changed, removed = redact_record(record, job.policy, key=job.key, patient=patient)
    return _Line(adapter(type(changed)).dump_json(changed, exclude_defaults=True).decode(), record.id, removed)


def redact_record(
    record: Record, policy: Policy = "mask", *, key: bytes = b"", patient: str = ""
) -> tuple[Record, list[tuple[str, Entity]]]:
    """A record without the entities of its texts and of the strings in its `extra`; and (path, entity) of each.

    Spans of a Question are moved along with its text; one that touches an entity goes with its answer.
    """
    extra = getattr(record, "extra", {})
    paths, texts = map(list, zip(*texts_of(record), *_strings("extra", extra), strict=True))
    masked: dict[str, Masked] = dict(zip(paths, Redactor(policy, key=key, patient=patient).redact(texts), strict=True))
    changed = map_texts(record, lambda path, text: masked[path].text)
    if extra and not isinstance(changed, Passage):
        changed = replace(changed, extra=_with(extra, "extra", masked))
    if isinstance(changed, Question) and changed.spans:
        if policy != "mask":
            fix = "use the policy mask for questions with spans"
            raise SafetyError(f"{policy} would move the spans of {record.id}", where=record.origin.source, fix=fix)
        changed = _moved(changed, masked["messages[0].content"].entities)
    return changed, [(path, entity) for path, one in masked.items() for entity in one.entities]


def _moved(question: Question, entities: Sequence[Entity]) -> Question:
    """A question whose spans (one for each answer) are offsets into the masked text; those an entity touches go."""
    kept: list[tuple[str, tuple[int, int]]] = []
    for answer, (start, end) in zip(question.answers, question.spans, strict=False):
        if not any(entity.start < end and start < entity.end for entity in entities):
            before = (entity for entity in entities if entity.end <= start)
            shift = sum(len(PLACEHOLDERS[entity.type]) - (entity.end - entity.start) for entity in before)
            kept.append((answer, (start + shift, end + shift)))
    return replace(question, answers=tuple(one for one, _ in kept), spans=tuple(span for _, span in kept))


def _redactor(job: Redaction, members: dict[str, Any]) -> Redactor:
    patient = members.get(job.patient, "") if job.patient else ""
    return Redactor(job.policy, key=job.key, patient=str(patient))


def _strings(path: str, value: object) -> Iterator[tuple[str, str]]:
    """(path, text) of every string inside a JSON value."""
    if isinstance(value, str):
        yield path, value
    elif isinstance(value, dict):
        for name, member in value.items():
            yield from _strings(f"{path}.{name}", member)
    elif isinstance(value, list):
        for at, member in enumerate(value):
            yield from _strings(f"{path}[{at}]", member)


def _with(value: Any, path: str, masked: dict[str, Masked]) -> Any:
    """A JSON value with every string replaced by its masked text."""
    if isinstance(value, str):
        return masked[path].text
    if isinstance(value, dict):
        return {name: _with(member, f"{path}.{name}", masked) for name, member in value.items()}
    if isinstance(value, list):
        return [_with(member, f"{path}[{at}]", masked) for at, member in enumerate(value)]
    return value


def _plain(entity: Entity) -> dict[str, Any]:
    return {"type": entity.type, "start": entity.start, "end": entity.end, "text": entity.text}


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
