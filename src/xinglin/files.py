"""Files: strict encodings, JSON Lines of nouns, atomic writes, digests.

Everything the project writes goes through `atomic`: a file is either whole or absent, also after `kill -9`
or a full disk.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import glob
import hashlib
import io
import json
import os
import re
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from xinglin.errors import FULL_DISK, DataError, full_disk

Noun = TypeVar("Noun")
_WIDE = re.compile(rb"[\xe0-\xef][\x80-\xbf]{2}")
PARTIAL = ".*.partial"
"""What `atomic` writes into before a file is whole; a killed process leaves it behind."""
LOGS = "logs"
"""Name of the sub-folder of a step that holds times and other things that differ from run to run."""


@dataclass(frozen=True, slots=True)
class Document:
    """The decoded text of a file and the encoding it was found to have."""

    path: Path
    text: str
    encoding: str


def read_document(path: Path) -> Document:
    """Read a text file that is UTF-8 (with or without a mark) or GB18030; anything else is a DataError.

    Decoding is strict: a byte that fits neither encoding is reported with its line, never replaced. A file that
    mixes the two encodings, UTF-16 and binary data are refused.
    """
    data = read_bytes(path).removeprefix(codecs.BOM_UTF8)
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError("the file is UTF-16", where=str(path), fix="save it as UTF-8, or `iconv -f UTF-16 -t UTF-8`")
    if b"\0" in data:
        where = f"{path}:{_line(data, data.index(0))}"
        raise DataError("a NUL byte: this is no text file", where=where, fix="give a text file saved as UTF-8")
    try:
        return Document(path, data.decode("utf-8"), "utf-8")
    except UnicodeDecodeError as error:
        return Document(path, _gb18030(data, error, path), "gb18030")


def _gb18030(data: bytes, utf8: UnicodeDecodeError, path: Path) -> str:
    """The text of a file that is no UTF-8."""
    turn = _turn(data, utf8.start)
    if turn is not None:
        raise DataError(
            "the file mixes UTF-8 with another encoding, or is damaged here",
            where=f"{path}:{_line(data, turn)}",
            fix="convert the lines of the other encoding: iconv -f GB18030 -t UTF-8",
        )
    try:
        return data.decode("gb18030")
    except UnicodeDecodeError as gb:
        start = max(utf8.start, gb.start)
        raise DataError(
            f"byte 0x{data[start]:02x} fits neither UTF-8 nor GB18030",
            where=f"{path}:{_line(data, start)}",
            fix="find the file's encoding and convert it: iconv -f <encoding> -t UTF-8",
        ) from None


def _line(data: bytes, at: int) -> int:
    return data.count(b"\n", 0, at) + 1


def _turn(data: bytes, end: int) -> int | None:
    """Where a file that is UTF-8 up to `end` turns from one encoding into the other; None where it does not.

    GB18030 decodes most UTF-8 without complaint, into nonsense. Four Chinese characters that are well-formed UTF-8
    are as good as never GB18030: about one in 10^8 such pieces.
    """
    if _chinese(data[:end]):
        return end
    start = 0
    for line in data.split(b"\n"):
        if _chinese(line):
            with contextlib.suppress(UnicodeDecodeError):
                line.decode("utf-8")
                return start
        start += len(line) + 1
    return None


def _chinese(utf8: bytes) -> bool:
    return len(list(islice(_WIDE.finditer(utf8), 4))) == 4


def read_bytes(path: Path) -> bytes:
    """The bytes of a file; a missing or unreadable file is a DataError that names what is near."""
    with _readable(path):
        return path.read_bytes()


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise DataError("no such file", where=str(path), fix=_neighbours(path)) from None
    except IsADirectoryError:
        raise DataError("this is a folder, a file is needed", where=str(path), fix="name a file in it") from None
    except NotADirectoryError:
        raise DataError("a part of this path is no folder", where=str(path), fix="check the path") from None
    except PermissionError:
        raise DataError("no permission to read the file", where=str(path), fix="chmod u+r the file") from None


def _neighbours(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"the folder {folder} does not exist either; check the path or --data-root"
    import difflib

    names = sorted(entry.name for entry in folder.iterdir())
    near = difflib.get_close_matches(path.name, names, n=3, cutoff=0.5)
    return f"did you mean {', '.join(near)}?" if near else f"check the path; {folder} holds {len(names)} other files"


def read_table(path: Path) -> Iterator[tuple[int, dict[str, str]]]:
    """Rows of a CSV file with a header: (line number of the row's first line, cells by column).

    What stands beyond the header or in columns without a name is joined onto the key `""`. A missing cell is empty.
    An open quote, or a header without names or with one name twice, is a DataError.
    """
    rows = csv.reader(io.StringIO(read_document(path).text, newline=""), strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        _check_header(header, path)
        start = rows.line_num + 1
        for row in rows:
            if any(cell.strip() for cell in row):
                cells = {name: row[at] if at < len(row) else "" for at, name in enumerate(header) if name}
                nameless = (cell for at, cell in enumerate(row) if at >= len(header) or not header[at])
                cells[""] = ",".join(cell for cell in nameless if cell.strip())
                yield start, cells
            start = rows.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"malformed CSV: {error}", where=f"{path}:{rows.line_num}", fix="check the quotes on this line"
        ) from None


def _check_header(header: list[str], path: Path) -> None:
    names = [name for name in header if name]
    if not names:
        raise DataError("the table has no header", where=f"{path}:1", fix="the first line must name the columns")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise DataError(
            f"the header names a column twice: {', '.join(twice)}", where=f"{path}:1", fix="rename one of them"
        )


@cache
def adapter(noun: type[Noun]) -> TypeAdapter[Noun]:
    """The validator of a noun, built once."""
    return TypeAdapter(noun)


def read_records(path: Path, noun: type[Noun]) -> list[Noun]:
    """Read a JSON Lines file of one noun, validated; the first malformed line is a DataError with its number."""
    read = adapter(noun)
    records: list[Noun] = []
    for number, line in enumerate(read_document(path).text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            records.append(read.validate_json(line))
        except ValidationError as error:
            raise _malformed(error, noun.__name__, f"{path}:{number}") from None
    return records


def stream_records(path: Path, noun: type[Noun]) -> Iterator[Noun]:
    """The records of a JSON Lines file of one noun, one at a time, each validated as `read_records` does."""
    read = adapter(noun)
    for number, line in stream_lines(path):
        if line.strip():
            try:
                yield read.validate_json(line)
            except ValidationError as error:
                raise _malformed(error, noun.__name__, f"{path}:{number}") from None


def _malformed(error: ValidationError, noun: str, where: str) -> DataError:
    first = error.errors(include_url=False)[0]
    place = ".".join(str(part) for part in first["loc"])
    return DataError(
        f"not a {noun}: {place + ': ' if place else ''}{first['msg']}",
        where=where,
        fix=f"each line must be one {noun} in JSON, as written by xinglin",
    )


def stream_lines(path: Path) -> Iterator[tuple[int, str]]:
    """(number, line) of a UTF-8 text file, with or without a mark, in bounded memory; another line is a DataError.

    For files that xinglin wrote: a line alone cannot tell UTF-8 from GB18030 (头痛 in GB18030 is well-formed UTF-8).
    """
    with _readable(path), path.open("rb") as file:
        for number, data in enumerate(file, 1):
            raw = data.removeprefix(codecs.BOM_UTF8) if number == 1 else data
            try:
                yield number, raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError:
                fix = "records are UTF-8; read files of other origin with `xinglin data import`"
                raise DataError("this line is not UTF-8", where=f"{path}:{number}", fix=fix) from None


def write_records(path: Path, records: Iterable[object]) -> int:
    """Write nouns as JSON Lines, atomically, members at their defaults left out; returns the number of records."""
    count = 0
    with atomic(path) as file:
        for record in records:
            file.write(adapter(type(record)).dump_json(record, exclude_defaults=True).decode() + "\n")
            count += 1
    return count


def write_json(path: Path, value: object) -> None:
    """Write one JSON value with sorted keys, atomically."""
    with atomic(path) as file:
        file.write(json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 text file, atomically."""
    with atomic(path) as file:
        file.write(text)


def read_json(path: Path) -> Any:
    """One JSON value; malformed JSON is a DataError with its line."""
    text = read_document(path).text
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DataError(
            f"malformed JSON: {error.msg}", where=f"{path}:{error.lineno}", fix="check this line with a JSON editor"
        ) from None


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[IO[str]]:
    """A UTF-8 text file that appears under `path` only when it is complete and on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _sweep(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.{os.getpid()}-", suffix=".partial", dir=path.parent)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except OSError as error:
        if error.errno in FULL_DISK:
            raise full_disk(error, where=str(path)) from error
        raise
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name)


def _sweep(path: Path) -> None:
    """Remove what a killed process has left of this file; a living one may still be writing its own."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*-*.partial"):
        number = left.name.removeprefix(f".{path.name}.").partition("-")[0]
        if number.isdigit() and not _lives(int(number)):
            left.unlink(missing_ok=True)


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def digest_bytes(data: bytes) -> str:
    """SHA-256 in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def digest_json(value: object) -> str:
    """SHA-256 over a JSON value with sorted keys."""
    return digest_bytes(json.dumps(value, ensure_ascii=False, sort_keys=True).encode())


def digest_file(path: Path) -> str:
    """SHA-256 over a file, read in blocks."""
    state = hashlib.sha256()
    with _readable(path), path.open("rb") as file:
        while block := file.read(1 << 20):
            state.update(block)
    return state.hexdigest()


def digest_folder(folder: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path; logs, manifests and hidden files are left out."""
    found = {}
    for path in sorted(folder.rglob("*")):
        relative = path.relative_to(folder)
        hidden = any(part.startswith(".") for part in relative.parts)
        if path.is_file() and not hidden and relative.parts[0] != LOGS and relative.name != "manifest.json":
            found[relative.as_posix()] = digest_file(path)
    return found
