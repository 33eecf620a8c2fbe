"""Rows: what every container (JSON, CSV, Excel, Parquet, text …) gives one at a time, and how a format reads them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from xinglin.types import Passage, Preference, Question, Ranking, Sample

Record = Sample | Preference | Ranking | Question | Passage
"""The nouns that files hold."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row: a mapping (JSON object, table row), a text (a line) or a list; `where` is file:line (or sheet, page)."""

    where: str
    value: Any


@dataclass(frozen=True, slots=True)
class Bad:
    """A row that could not be read, and why; it goes to `*.dropped.jsonl`."""

    where: str
    reason: str


@dataclass(frozen=True, slots=True)
class Source:
    """What is known of a file before it is read: the name that records keep of it, and its licence."""

    name: str
    licence: str = "unknown"


@dataclass(frozen=True, slots=True)
class Format:
    """A public file format.

    `fits` looks at the first rows of a file (content decides, never the suffix); `read` turns all rows into records
    of `noun`, or Bad where a row is not what it should be; `write` turns records back into the format's rows (None:
    the format can be read only), raising DataError for a record that it cannot hold without loss.
    """

    name: str
    noun: type[Record]
    fits: Callable[[Sequence[Row]], bool]
    read: Callable[[Iterable[Row | Bad], Source], Iterator[Record | Bad]]
    write: Callable[[Iterable[Record]], Iterator[Any]] | None = None
