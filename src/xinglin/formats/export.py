"""Export: records into files of a public format, with the `dataset_info.json` entry that LLaMA-Factory reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import chain, groupby, islice
from pathlib import Path
from typing import IO, Any

from xinglin.errors import DataError
from xinglin.files import atomic, read_json, write_json
from xinglin.formats.known import by_name
from xinglin.formats.row import Record
from xinglin.formats.samples import form, keep
from xinglin.types import Message, Passage, Preference, Ranking, Sample

DATASET_INFO = "dataset_info.json"
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_TURNS = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}
_ROLES = {**_TURNS, "system_tag": "system", "observation_tag": "tool", "function_tag": "function"}
_TAGS = frozenset({"human", "gpt", "system", "observation", "function_call"})


@dataclass(frozen=True, slots=True)
class Entry:
    """How LLaMA-Factory reads a format: its names for our columns, what roles are called, whether rows are pairs.

    `fill` are columns that every row gets: a loader that meets a new column in the middle of a file stops.
    """

    formatting: str
    columns: Mapping[str, str]
    fill: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] | None = None
    ranking: bool = False


_ALPACA = {"prompt": "instruction", "query": "input", "system": "system", "history": "history"}
_PAIR = {"chosen": "chosen", "rejected": "rejected"}
_KTO = {"kto_tag": "kto_tag"}
_SHAREGPT = {"messages": "conversations", "system": "system", "tools": "tools"}
_EMPTY = {"input": "", "system": "", "history": []}
ENTRIES: dict[str, Entry] = {
    "alpaca": Entry("alpaca", {**_ALPACA, "response": "output"}, _EMPTY),
    "sharegpt": Entry("sharegpt", _SHAREGPT, {"system": "", "tools": ""}),
    "messages": Entry("sharegpt", {"messages": "messages"}, tags=_ROLES),
    "alpaca-pair": Entry("alpaca", {**_ALPACA, **_PAIR}, _EMPTY, ranking=True),
    "sharegpt-pair": Entry("sharegpt", {**_SHAREGPT, **_PAIR}, {"system": "", "tools": ""}, ranking=True),
    "kto": Entry("alpaca", {**_ALPACA, "response": "output", **_KTO}, _EMPTY),
    "kto-sharegpt": Entry("sharegpt", {**_SHAREGPT, **_KTO}, {"system": "", "tools": ""}),
    "text-rows": Entry("alpaca", {"prompt": "text"}),
}
"""The formats that LLaMA-Factory trains unchanged; `messages` is what ms-swift trains."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A record that trainers would skip, and why; it goes to `*.rejected.jsonl`."""

    id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Exported:
    """Rows written, and the records turned away with the reason (only when an entry for training was asked for)."""

    rows: int
    rejected: tuple[Rejected, ...] = ()


def export_file(records: Iterable[Record], out: Path, *, name: str, dataset_info: bool = False) -> Exported:
    """Write records as a file of the format `name`, atomically.

    With `dataset_info`, only the columns of the format are written, records that trainers cannot use (roles that do not
    alternate, no answer) are turned away, and the entry is put into `dataset_info.json` beside `out`. Without, a record
    that the format cannot hold is a DataError.
    """
    found = by_name(name)
    if found.write is None:
        raise DataError(f"the format {name} can only be read", where="--format", fix="choose one of export --list")
    if dataset_info and name not in ENTRIES:
        raise DataError(
            f"LLaMA-Factory does not read {name}", where="--dataset-info", fix=f"choose one of {', '.join(ENTRIES)}"
        )
    rejected: list[Rejected] = []
    keys: dict[str, None] = {}
    kept = _trainable(records, rejected) if dataset_info else records
    count = 0

    def counted(rows: Iterable[Any]) -> Iterator[Any]:
        nonlocal count
        for row in rows:
            count += 1
            if dataset_info:
                row = _filled(row, ENTRIES[name])
                keys.update(dict.fromkeys(row))
            yield row

    with atomic(out) as file:
        LAYOUTS.get(name, _write_jsonl)(file, counted(found.write(kept)))
    if dataset_info:
        _enter(out, ENTRIES[name], keys)
    return Exported(count, tuple(rejected))


def _filled(row: dict[str, Any], entry: Entry) -> dict[str, Any]:
    """A row with the columns of its entry and no others; tools as text, so that the column has one type."""
    known = set(entry.columns.values())
    filled = {name: value for name, value in {**entry.fill, **row}.items() if name in known}
    if not isinstance(filled.get("tools", ""), str):
        filled["tools"] = json.dumps(filled["tools"], ensure_ascii=False)
    if entry.ranking and entry.formatting == "sharegpt":
        # It compares turns only: a pair of plain texts would be trained as an ordinary conversation.
        for column in _PAIR:
            if isinstance(filled[column], str):
                filled[column] = {"from": "gpt", "value": filled[column]}
    return filled


def _trainable(records: Iterable[Record], rejected: list[Rejected]) -> Iterator[Record]:
    """The records that trainers take, without columns of other origin; the others are noted with the reason."""
    for record in records:
        reason = why_not(record)
        if reason:
            rejected.append(Rejected(record.id, reason))
        elif isinstance(record, Sample):
            yield replace(record, extra=_own(record))
        elif isinstance(record, Preference | Ranking):
            yield replace(record, extra={})
        else:
            yield record


def _own(sample: Sample) -> dict[str, Any]:
    """What trainers use of `extra`: the tools, and which turns are calls and results of tools."""
    names = form(sample, "sharegpt").get("names", ())
    kept = {"tools": sample.extra["tools"]} if "tools" in sample.extra else {}
    return keep(kept, "sharegpt", names=names) if names and _TAGS.issuperset(names) else kept


def why_not(record: Record) -> str:
    """Why trainers would skip a record; "" when they would not."""
    match record:
        case Sample():
            return _uneven(record.messages, answered=True)
        case Passage():
            return "" if record.text.strip() else "no text"
        case Preference() | Ranking():
            return _uneven(record.prompt, answered=False)
        case _:
            return f"a {type(record).__name__} is nothing to train on"


def _uneven(messages: tuple[Message, ...], *, answered: bool) -> str:
    turns = [message.role for message in messages if message.role != "system"]
    if len(turns) < len(messages) - 1 or (len(turns) < len(messages) and messages[0].role != "system"):
        return "a system message that is not the first"
    if any(role != ("user", "assistant")[at % 2] for at, role in enumerate(turns)):
        return "user and assistant do not alternate"
    if not turns or (len(turns) % 2 == 0) != answered:
        return "no answer at the end" if answered else "no question at the end"
    return ""


def _enter(out: Path, entry: Entry, keys: Iterable[str]) -> None:
    """Put the entry of `out` into the dataset_info.json beside it; other entries stay."""
    path = out.with_name(DATASET_INFO)
    known = read_json(path) if path.is_file() else {}
    if not isinstance(known, dict):
        raise DataError("not an object with data sets", where=str(path), fix="move this file away")
    written = set(keys)
    made: dict[str, Any] = {"file_name": out.name, "formatting": entry.formatting}
    if entry.ranking:
        made["ranking"] = True
    made["columns"] = {name: column for name, column in entry.columns.items() if column in written}
    if entry.tags:
        made["tags"] = dict(entry.tags)
    write_json(path, {**known, out.stem: made})


def _write_jsonl(file: IO[str], rows: Iterable[Any]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _write_array(file: IO[str], rows: Iterable[Any]) -> None:
    mark = "["
    for row in rows:
        file.write(f"{mark}\n{json.dumps(row, ensure_ascii=False)}")
        mark = ","
    file.write("\n]\n" if mark == "," else "[]\n")


def _write_lines(file: IO[str], rows: Iterable[Any]) -> None:
    file.writelines(f"{row}\n" for row in rows)


def _write_literals(file: IO[str], rows: Iterable[Any]) -> None:
    """`split@[{…}, …]`, a line for each run of one split."""
    for split, group in groupby(rows, key=lambda row: row.get("split", "train")):
        file.write(f"{split}@[")
        for number, row in enumerate(group):
            mark = ", " if number else ""
            file.write(mark + repr({key: value for key, value in row.items() if key != "split"}))
        file.write("]\n")


def _write_csv(file: IO[str], rows: Iterable[Any]) -> None:
    """A table with the header of its first row; cells that a spreadsheet would run as formulas get a quote in front."""
    source = iter(rows)
    first = list(islice(source, 1))
    writer = csv.writer(file, lineterminator="\n")
    header = list(first[0]) if first and isinstance(first[0], dict) else None
    if header is not None:
        writer.writerow(header)
    for number, row in enumerate(chain(first, source), 1):
        if header is not None and set(row) != set(header):
            raise DataError(
                f"row {number} has other columns than the first: {', '.join(map(str, set(row) ^ set(header)))}",
                where=file.name if isinstance(file.name, str) else "",
                fix="export to JSON Lines (alpaca, messages, …), which holds rows of unlike columns",
            )
        cells = row if header is None else [row[name] for name in header]
        writer.writerow([neutral(cell) for cell in cells])


def neutral(cell: Any) -> str:
    """A cell that no spreadsheet takes for a formula: = + - @ TAB CR at its start get a quote in front."""
    text = "" if cell is None else cell if isinstance(cell, str) else json.dumps(cell, ensure_ascii=False)
    return f"'{text}" if text.startswith(_FORMULA) else text


LAYOUTS: dict[str, Callable[[IO[str], Iterable[Any]], None]] = {
    **dict.fromkeys(("toyhom", "side-by-side", "indications", "cmmlu", "ceval", "cmexam"), _write_csv),
    **dict.fromkeys(("text", "book", "het-mc", "remedi", "qa-blocks", "cmedqa-rank", "bio"), _write_lines),
    "dxy": _write_literals,
    "roles": _write_array,
}
"""How the files of a format are written, where it is not JSON Lines."""
