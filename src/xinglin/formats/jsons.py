"""JSON files as rows: JSON Lines, and arrays or objects read value by value in bounded memory."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import IO

from pydantic_core import from_json

from xinglin.errors import DataError
from xinglin.formats.encoding import Text
from xinglin.formats.row import Bad, Row

LONGEST_VALUE = 64 << 20
"""Characters of the longest element of an array, or of a single object, that is read."""
_BLOCK = 1 << 20
_BLANK = re.compile(r"\s*")
_NEXT = re.compile(r"\s*,?\s*")


def read_lines(text: Text) -> Iterator[Row | Bad]:
    """One row a line; a malformed line is Bad. Blank lines are passed over."""
    name = str(text.path)
    for number, line in text.lines():
        try:
            yield Row(f"{name}:{number}", from_json(line))
        except ValueError as error:
            if line.strip():
                yield Bad(f"{name}:{number}", f"malformed JSON: {error}")


def read_values(text: Text) -> Iterator[Row | Bad]:
    """The elements of one array, or the values that stand one after another; `where` is file:line of the value.

    JSON that ends early or is malformed is a DataError with its line: nothing after it could be trusted.
    """
    with text.open() as file:
        reader = _Values(text, file)
        reader.skip(_BLANK)
        array = reader.peek() == "["
        if array:
            reader.at += 1
            reader.skip(_BLANK)
        while (first := reader.peek()) and not (array and first == "]"):
            where = f"{text.path}:{reader.line()}"
            value, escaped = reader.value()
            halves = escaped and _has_half_character(value)
            yield Bad(where, "half of a surrogate pair: a damaged character") if halves else Row(where, value)
            reader.skip(_NEXT)
        if array and not first:
            raise reader.malformed("the array does not end: the file is cut off")


def _has_half_character(value: object) -> bool:
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _may_go_on(error: json.JSONDecodeError, end: int) -> bool:
    """Whether more text could mend what stopped the decoder: it stopped at the end, or in an open string."""
    return error.pos >= end - 64 or error.msg.startswith("Unterminated string")


class _Values:
    """A window over the text of a file, from which JSON values are taken."""

    def __init__(self, text: Text, file: IO[str]) -> None:
        self.text, self.file = text, file
        self.buffer = file.read(_BLOCK).removeprefix("\ufeff")
        self.at = 0
        self.lines = 1
        self.counted = 0
        self.decoder = json.JSONDecoder()

    def line(self) -> int:
        """The line at which the window stands."""
        self.lines += self.buffer.count("\n", self.counted, self.at)
        self.counted = self.at
        return self.lines

    def more(self, size: int = _BLOCK) -> bool:
        """Read on, dropping what has been taken; False at the end of the file."""
        self.line()
        read = self.file.read(size)
        self.buffer = self.buffer[self.at :] + read
        self.at = self.counted = 0
        return bool(read)

    def skip(self, blank: re.Pattern[str]) -> None:
        while True:
            match = blank.match(self.buffer, self.at)
            self.at = match.end() if match else self.at
            if self.at < len(self.buffer) or not self.more():
                return

    def peek(self) -> str:
        return self.buffer[self.at : self.at + 1]

    def value(self) -> tuple[object, bool]:
        """The value at which the window stands, and whether it holds escaped surrogates."""
        while True:
            try:
                value, end = self.decoder.raw_decode(self.buffer, self.at)
            except RecursionError:
                raise self.malformed("nested too deeply") from None
            except json.JSONDecodeError as error:
                length = len(self.buffer) - self.at
                if length > LONGEST_VALUE:
                    raise self.too_long() from None
                # Doubling keeps the work on one long value linear.
                if not _may_go_on(error, len(self.buffer)) or not self.more(max(_BLOCK, length)):
                    raise self.malformed(error.msg, error) from None
                continue
            if end == len(self.buffer) and self.more():
                continue
            if end - self.at > LONGEST_VALUE:
                raise self.too_long()
            escaped = "\\ud" in self.buffer[self.at : end].lower()
            self.at = end
            return value, escaped

    def too_long(self) -> DataError:
        return DataError(
            f"one JSON value of more than {LONGEST_VALUE >> 20} MB",
            where=f"{self.text.path}:{self.line()}",
            fix="convert to JSON Lines, one record a line: `jq -c '.[]' FILE`, or `jq -c '.data[]'` for a member",
        )

    def malformed(self, problem: str, error: json.JSONDecodeError | None = None) -> DataError:
        line = self.line()
        if error is not None:
            line += self.buffer.count("\n", self.at, max(error.pos, self.at))
        return DataError(
            f"malformed JSON: {problem}", where=f"{self.text.path}:{line}", fix="check this line with a JSON editor"
        )
