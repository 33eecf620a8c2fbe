"""What a text file is before it is read: encoding, first characters, longest line. One pass, bounded memory."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from xinglin.errors import DataError

LONGEST_LINE = 64 << 20
"""Bytes of the longest line that is read whole (a JSON array in one line is no line: it is read piece by piece)."""
_BLOCK = 1 << 20
HEAD = 1 << 16
"""Characters at the start of a file by which its kind is decided."""
_WIDE = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}")


@dataclass(frozen=True, slots=True)
class Text:
    """A text file that has been looked through: `encoding` is utf-8, utf-8-sig or gb18030; `longest` line in bytes."""

    path: Path
    encoding: str
    head: str
    longest: int

    def open(self) -> IO[str]:
        """The file as strict text; lines end at line feeds only, as JSON Lines has it."""
        return self.path.open(encoding=self.encoding, errors="strict", newline="\n")

    def lines(self) -> Iterator[tuple[int, str]]:
        """(number, line) without line ends. A mark and carriage returns at the end are no part of a line."""
        with self.open() as file:
            for number, line in enumerate(file, 1):
                yield number, line.rstrip("\r\n")


def survey(path: Path) -> Text:
    """Look through a text file: UTF-8 (with or without a mark) or GB18030, the same in every line.

    UTF-16, NUL bytes, bytes of neither encoding and files that mix the two are DataErrors that name the line.
    """
    with path.open("rb") as file:
        start = file.read(HEAD)
        marked = start.startswith(codecs.BOM_UTF8)
        if start[:2] in (b"\xff\xfe", b"\xfe\xff"):
            raise DataError("the file is UTF-16", where=str(path), fix="save it as UTF-8: iconv -f UTF-16 -t UTF-8")
        file.seek(0)
        longest, wrong = _scan(file, path)
    if wrong is None:
        encoding = "utf-8-sig" if marked else "utf-8"
    else:
        if longest > LONGEST_LINE:
            raise too_long(path, longest)
        _check_gb18030(path, wrong)
        encoding = "gb18030"
    with path.open(encoding=encoding, newline="\n") as text:
        return Text(path, encoding, text.read(HEAD).removeprefix("\ufeff"), longest)


def too_long(path: Path, longest: int) -> DataError:
    """The error for a file with a line past LONGEST_LINE."""
    return DataError(
        f"a line of {longest >> 20} MB: past the limit of {LONGEST_LINE >> 20} MB",
        where=str(path),
        fix="convert to JSON Lines in UTF-8, one record a line: `jq -c '.[]' FILE` for an array",
    )


def _scan(file: IO[bytes], path: Path) -> tuple[int, int | None]:
    """The length of the longest line, and the first line that is no UTF-8 (None: all are)."""
    decoder = codecs.getincrementaldecoder("utf-8")("strict")
    line, run, longest = 1, 0, 0
    wrong: int | None = None
    while block := file.read(_BLOCK):
        if b"\0" in block:
            at = line + block.count(b"\n", 0, block.index(0))
            raise DataError(
                "a NUL byte: this is no text file", where=f"{path}:{at}", fix="give a text file saved as UTF-8"
            )
        if wrong is None:
            wrong = _undecodable(decoder, block, line)
        ends = block.count(b"\n")
        longest, run = _lengths(block, ends, longest, run)
        line += ends
    if wrong is None and _undecodable(decoder, b"", line, final=True):
        wrong = line
    return max(longest, run), wrong


def _undecodable(decoder: codecs.IncrementalDecoder, block: bytes, line: int, *, final: bool = False) -> int | None:
    try:
        decoder.decode(block, final)
    except UnicodeDecodeError as error:
        return line + error.object.count(b"\n", 0, error.start)
    return None


def _lengths(block: bytes, ends: int, longest: int, run: int) -> tuple[int, int]:
    """The longest line so far (blocks are small: a line inside one counts as long as the block), and the open line."""
    if not ends:
        return longest, run + len(block)
    first, last = block.index(b"\n"), block.rindex(b"\n")
    return max(longest, run + first, last - first), len(block) - last - 1


def _check_gb18030(path: Path, wrong: int) -> None:
    """Raise unless the file, no UTF-8 from line `wrong` on, is GB18030 from its first line to its last.

    GB18030 decodes most UTF-8 without complaint, into nonsense. Four Chinese characters that are well-formed UTF-8 are
    as good as never GB18030: about one in 10^8 such pieces.
    """
    before = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            raw = line.removeprefix(codecs.BOM_UTF8) if number == 1 else line
            if raw.isascii():
                continue
            wide = len(list(islice(_WIDE.finditer(raw), 4)))
            before += wide if number < wrong else 0
            if before >= 4 or (number > wrong and wide == 4 and _is_utf8(raw)):
                raise DataError(
                    "the file mixes UTF-8 with another encoding, or is damaged here",
                    where=f"{path}:{max(number, wrong)}",
                    fix="convert the lines of the other encoding: iconv -f GB18030 -t UTF-8",
                )
            _decode(raw, f"{path}:{number}")


def _decode(raw: bytes, where: str) -> None:
    try:
        raw.decode("gb18030")
    except UnicodeDecodeError as error:
        raise DataError(
            f"byte 0x{raw[error.start]:02x} fits neither UTF-8 nor GB18030",
            where=where,
            fix="find the file's encoding and convert it: iconv -f <encoding> -t UTF-8",
        ) from None


def _is_utf8(line: bytes) -> bool:
    try:
        line.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
