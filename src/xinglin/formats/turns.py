"""Conversations as text: HET-MC `.dialog`, ReMeDi's special tokens, DXY's literals, question and answer blocks."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from xinglin.formats.conversations import Layout, parse_turns, render_turns
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import (
    Parsed,
    Unfit,
    as_sample,
    build,
    columns,
    exchange,
    keep,
    mapping,
    pairs,
    refuse,
    rest,
    row_format,
    said,
    split_system,
)
from xinglin.types import Role, Sample


def by_block(
    parse: Callable[[list[str]], Parsed],
) -> Callable[[Iterable[Row | Bad], Source], Iterator[Record | Bad]]:
    """The `read` of a format in which blank lines part the samples; a block with an unreadable line is Bad."""

    def read(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
        for number, (where, lines) in enumerate(blocks(rows), 1):
            try:
                yield build(parse(lines), source, str(number))
            except Unfit as reason:
                yield Bad(where, str(reason))

    return read


def blocks(rows: Iterable[Row | Bad]) -> Iterator[tuple[str, list[str]]]:
    """(place, lines) of the runs of lines that are not blank."""
    where, lines = "", []
    for row in rows:
        line = row.value if isinstance(row, Row) and isinstance(row.value, str) else ""
        if line.strip():
            where = where or row.where
            lines.append(line)
        elif lines:
            yield where, lines
            where, lines = "", []
    if lines:
        yield where, lines


def by_lines(
    name: str, render: Callable[[Sample], Iterable[str]], blank: int = 1
) -> Callable[[Iterable[Record]], Iterator[Any]]:
    """The `write` of a format of blocks of lines with `blank` empty lines between them."""

    def write(records: Iterable[Record]) -> Iterator[Any]:
        for number, record in enumerate(records):
            yield from [""] * (blank if number else 0)
            for line in render(as_sample(record, name)):
                if "\n" in line or "\r" in line:
                    raise refuse(as_sample(record, name), name, "a text with line breaks")
                yield line

    return write


# --- HET-MC ---------------------------------------------------------------------------------------------------------
_HETMC = Layout("het-mc", "the dialogue", "role", "text", "P", "D", merge=True)


def parse_hetmc(lines: list[str]) -> Parsed:
    """`id TAB 00009 TAB apartment TAB 内科 …`, then lines `P|D TAB text TAB label`, then `SUM1 TAB …`, `SUM2.0 TAB …`.

    Utterances of one speaker in a row are one message; labels stay with their utterance, summaries in `extra`.
    """
    head = lines[0].split("\t")
    if head[0] != "id" or len(head) % 2:
        raise Unfit("the first line of a dialogue is not `id TAB number TAB name TAB value …`")
    extra: dict[str, Any] = dict(zip(head[::2], head[1::2], strict=True))
    turns: list[dict[str, str]] = []
    for line in lines[1:]:
        name, _, more = line.partition("\t")
        if name in ("P", "D"):
            content, tab, label = more.rpartition("\t")
            turns.append({"role": name, "text": content, "label": label} if tab else {"role": name, "text": more})
        elif name.startswith("SUM"):
            extra[name] = more
        else:
            raise Unfit(f"a line that is neither P, D nor SUM: {name[:20]}")
    found, how = parse_turns(_HETMC, turns)
    department = extra.get("apartment") or extra.get("department")
    tagged = (f"department:{department}",) if department else ()
    return Parsed(said(*found), keep(extra, "het-mc", **how), tagged)


def render_hetmc(sample: Sample) -> Iterator[str]:
    """The lines of a sample."""
    system, messages = split_system(sample)
    if system or not messages:
        raise refuse(sample, "het-mc", "it has no place for a system message")
    extra = {name: str(value) for name, value in columns(sample).items()}
    head = {"id": extra.pop("id", sample.id), **{key: one for key, one in extra.items() if key[:3] != "SUM"}}
    yield "\t".join(cell for pair in head.items() for cell in pair)
    for turn in render_turns(_HETMC, sample, messages):
        yield f"{turn['role']}\t{turn['text']}\t{turn.get('label', '0')}"
    yield from (f"{key}\t{value}" for key, value in extra.items() if key.startswith("SUM"))


def _fits_hetmc(rows: Sequence[Row]) -> bool:
    lines = [row.value for row in rows if isinstance(row.value, str) and row.value.strip()]
    return bool(lines) and lines[0].startswith("id\t") and any(line[:2] in ("P\t", "D\t") for line in lines[1:])


# --- ReMeDi ---------------------------------------------------------------------------------------------------------
_PARTS = ("context", "currentuser", "intent", "knowledge", "action", "response")
_REMEDI = re.compile(
    r"\s*<\|endoftext\|>"
    + "".join(rf"\s*<\|{part}\|>(?P<{part}>.*?)<\|endof{part}\|>" for part in _PARTS)
    + r"\s*<\|endoftext\|>\s*"
)
_SPEAKER = re.compile(r"<\|(user|system)\|>")


def parse_remedi(lines: list[str]) -> Parsed:
    """The lines of a dialogue, each one exchange with everything before it as context: one sample of all exchanges.

    Intents, knowledge and actions are kept as `acts`, one for each exchange.
    """
    turns: list[tuple[Role, str]] = []
    acts = []
    for number, line in enumerate(lines):
        match = _REMEDI.fullmatch(line)
        if match is None:
            raise Unfit(f"line {number + 1} of the dialogue lacks one of {', '.join(_PARTS)}")
        if number == 0:
            pieces = _SPEAKER.split(match["context"])
            turns = [
                ("user" if who == "user" else "assistant", content.strip())
                for who, content in zip(pieces[1::2], pieces[2::2], strict=True)
            ]
        turns += exchange(match["currentuser"].strip(), match["response"].strip())
        acts.append({part: match[part].strip() for part in ("intent", "knowledge", "action")})
    return Parsed(said(*turns), {"acts": acts})


def render_remedi(sample: Sample) -> Iterator[str]:
    """The lines of a sample."""
    acts = sample.extra.get("acts")
    first = len(sample.messages) - 2 * len(acts) if isinstance(acts, list) else 0
    later = sample.messages[first:] if first >= 0 else ()
    if not later or any(message.role != ("user", "assistant")[at % 2] for at, message in enumerate(later)):
        raise refuse(sample, "remedi", "user and assistant must alternate")
    names = {"user": "user", "assistant": "system"}
    spoken = [f"<|{names.get(message.role, 'user')}|> {message.content} " for message in sample.messages]
    for at in range(0, len(later), 2):
        act = acts[at // 2] if isinstance(acts, list) else {}
        context = "".join(spoken[: first + at])
        parts = [context.rstrip(" "), later[at].content, *(act.get(name, "") for name in _PARTS[2:5])]
        parts.append(later[at + 1].content)
        written = (f"<|{name}|> {part} <|endof{name}|>" for name, part in zip(_PARTS, parts, strict=True))
        yield " ".join(["<|endoftext|>", *written, "<|endoftext|>"])


def _fits_remedi(rows: Sequence[Row]) -> bool:
    lines = [row.value for row in rows if isinstance(row.value, str) and row.value.strip()]
    return bool(lines) and all("<|context|>" in line and "<|response|>" in line for line in lines[:5])


# --- DXY ------------------------------------------------------------------------------------------------------------
def parse_dxy(value: Any) -> Parsed:
    """`{'goal': {…}, 'self_repo': …, 'dialog': [patient, doctor, patient, …], 'disease_tag': …}` with its `split`."""
    row = mapping(value)
    spoken = row.get("dialog")
    if not isinstance(spoken, list) or not all(isinstance(one, str) for one in spoken):
        raise Unfit("dialog is not a list of texts")
    extra = rest(row, ("dialog",))
    if spoken and extra.get("self_repo") == spoken[0]:
        del extra["self_repo"]
    found = tuple(f"{name}:{extra[key]}" for name, key in (("disease", "disease_tag"),) if key in extra)
    turns: list[tuple[Role, str]] = [("assistant" if at % 2 else "user", one) for at, one in enumerate(spoken)]
    return Parsed(said(*turns), extra, found)


def render_dxy(sample: Sample) -> dict[str, Any]:
    """The row of a sample; what the patient says first is the self-report."""
    if any(message.role != ("user", "assistant")[at % 2] for at, message in enumerate(sample.messages)):
        raise refuse(sample, "dxy", "user and assistant must alternate")
    extra = {"split": "train", "self_repo": sample.messages[0].content, **columns(sample)}
    return {**extra, "dialog": [message.content for message in sample.messages]}


# --- question and answer blocks -------------------------------------------------------------------------------------
def parse_block(lines: list[str]) -> Parsed:
    """A block of two lines: the question, the answer."""
    if len(lines) != 2:
        raise Unfit(f"a block of {len(lines)} lines instead of a question and an answer")
    return Parsed(said(("user", lines[0]), ("assistant", lines[1])))


def render_block(sample: Sample) -> Sequence[str]:
    """The two lines of a sample."""
    system, turns = pairs(sample, "qa-blocks")
    if system or len(turns) != 1:
        raise refuse(sample, "qa-blocks", "it holds one question and one answer")
    return turns[0]


def _fits_blocks(rows: Sequence[Row]) -> bool:
    if not all(isinstance(row.value, str) for row in rows):
        return False
    sizes = [len(lines) for _, lines in blocks(rows)]
    asked = sum(isinstance(row.value, str) and "\t" not in row.value and row.value[-1:] in "？?。，" for row in rows)
    return len(sizes) > 2 and sum(size == 2 for size in sizes) >= 0.9 * len(sizes) and asked * 2 > len(sizes)


FORMATS: tuple[Format, ...] = (
    Format("het-mc", Sample, _fits_hetmc, by_block(parse_hetmc), by_lines("het-mc", render_hetmc)),
    Format("remedi", Sample, _fits_remedi, by_block(parse_remedi), by_lines("remedi", render_remedi)),
    row_format("dxy", lambda row: {"goal", "dialog"} <= row.keys(), parse_dxy, render_dxy),
    Format("qa-blocks", Sample, _fits_blocks, by_block(parse_block), by_lines("qa-blocks", render_block, blank=2)),
)
"""Conversations as text."""
