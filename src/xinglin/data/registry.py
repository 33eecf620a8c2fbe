"""The registry: a YAML file that names data files with their format, licence, allowed use and SHA-256.

```yaml
internal-medicine:
  path: raw/neike.csv          # inside the folder of the registry
  format: auto                 # or a name of `xinglin data import --list`, or xinglin for our own records
  columns: {问题: ask}          # the file's columns by the names that the format knows
  sha256: 3f1c…
  licence: MIT
  use: research                # research | commercial | internal
  url: https://…
  note: …
```
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain, islice
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import cast

import yaml

from xinglin.data.licence import USES, Blocker, Use, blockers, uses
from xinglin.data.mix import Ingredient, from_file
from xinglin.errors import DataError, RecipeError
from xinglin.files import digest_file
from xinglin.formats.containers import open_rows
from xinglin.formats.known import FORMATS, by_name, detect
from xinglin.formats.nouns import noun_of, read_nouns, require
from xinglin.formats.row import Bad, Record, Row, Source
from xinglin.knowledge.nodes import compose, members, place, scalar

FIELDS = ("path", "format", "columns", "sha256", "licence", "use", "url", "note")
OWN = "xinglin"
"""Name of the format of our own records."""
_DIGEST = re.compile(r"[0-9a-f]{64}")
_NAME = re.compile(r"[\w.\-]{1,80}")
_AHEAD = 64


@dataclass(frozen=True, slots=True)
class Entry:
    """One data file: `path` is absolute and inside the registry's folder; `where` is file:line of the entry."""

    name: str
    path: Path
    format: str = "auto"
    columns: Mapping[str, str] = field(default_factory=dict)
    sha256: str = ""
    licence: str = "unknown"
    use: Use = "internal"
    url: str = ""
    note: str = ""
    where: str = ""

    @property
    def uses(self) -> frozenset[str]:
        """What the data may be used for: what its licence allows, and no more than the entry says."""
        within = {"commercial": USES, "research": ("research", "internal"), "internal": ("internal",)}[self.use]
        return uses(self.licence) & frozenset(within)


@dataclass(frozen=True, slots=True)
class Registry:
    """The entries of a registry by name."""

    path: Path
    entries: Mapping[str, Entry]

    def entry(self, name: str) -> Entry:
        """The entry of this name; a DataError names what is near."""
        if name in self.entries:
            return self.entries[name]
        near = difflib.get_close_matches(name, self.entries, n=3, cutoff=0.4) or list(self.entries)[:9]
        raise DataError(f"no entry {name!r}", where=str(self.path), fix=f"entries: {', '.join(near)}")


def read_registry(path: Path) -> Registry:
    """Read a registry. Unknown or repeated keys, values of a wrong kind, and paths that lead out of the folder are
    DataErrors with file and line."""
    root = compose(path)
    if not isinstance(root, yaml.MappingNode):
        raise DataError("a registry is `name:` with fields below", where=place(path, root), fix="see docs/data.md")
    entries: dict[str, Entry] = {}
    for key, value in root.value:
        name = scalar(key, path=path, what="name of an entry")
        if not _NAME.fullmatch(name) or name in entries:
            problem = f"entry {name} stands twice" if name in entries else f"{name!r} is no name of an entry"
            raise DataError(problem, where=place(path, key), fix="letters, digits, - _ and . ; each name once")
        entries[name] = _entry(name, value, path, place(path, key))
    return Registry(path, entries)


def _entry(name: str, node: yaml.Node, path: Path, where: str) -> Entry:
    found = members(node, path=path, what=name, allowed=FIELDS)
    if "path" not in found:
        raise DataError(f"{name}: no path", where=where, fix="path: FILE, inside the folder of the registry")
    texts = {key: scalar(value, path=path, what=f"{name}: {key}") for key, value in found.items() if key != "columns"}
    sha256, use, named = texts.get("sha256", "").lower(), texts.get("use", "internal"), texts.get("format", "auto")
    if sha256 and not _DIGEST.fullmatch(sha256):
        raise DataError(f"{name}: sha256 is not 64 hexadecimal digits", where=place(path, found["sha256"]), fix=_SEAL)
    if use not in USES:
        raise DataError(f"{name}: use is {use}", where=place(path, found["use"]), fix=f"one of {', '.join(USES)}")
    if named not in {"auto", OWN, *(one.name for one in FORMATS)}:
        fix = "auto, xinglin, or one of `xinglin data import --list`"
        raise DataError(f"{name}: no format {named}", where=place(path, found["format"]), fix=fix)
    return Entry(
        name,
        inside(texts["path"], path.parent, where=place(path, found["path"])),
        named,
        _columns(found.get("columns"), path, name),
        sha256,
        texts.get("licence", "unknown"),
        cast(Use, use),
        texts.get("url", ""),
        texts.get("note", ""),
        where,
    )


_SEAL = "sha256sum FILE shows it"


def _columns(node: yaml.Node | None, path: Path, name: str) -> dict[str, str]:
    if node is None:
        return {}
    if not isinstance(node, yaml.MappingNode):
        fix = "columns: {column of the file: name that the format knows}"
        raise DataError(f"{name}: columns is no mapping", where=place(path, node), fix=fix)
    what = f"{name}: columns"
    return {scalar(key, path=path, what=what): scalar(value, path=path, what=what) for key, value in node.value}


def inside(text: str, root: Path, *, where: str = "") -> Path:
    """The absolute path of a file inside a folder.

    An absolute path, an address, `..`, a control character, or a link that leads out of the folder is a DataError.
    """
    fix = "write the path of a file inside the folder of the registry, with / between its parts"
    if any(ord(character) < 32 or ord(character) == 127 for character in text):
        raise DataError("the path holds a control character", where=where, fix=fix)
    if re.match(r"[A-Za-z][A-Za-z0-9+.\-]*:", text):
        raise DataError(f"{text} is an address, not a path", where=where, fix=fix)
    pure = PurePosixPath(text)
    if pure.is_absolute() or PureWindowsPath(text).is_absolute() or text.startswith(("~", "\\")):
        raise DataError(f"{text} is an absolute path", where=where, fix=fix)
    if ".." in pure.parts or ".." in PureWindowsPath(text).parts:
        raise DataError(f"{text} leads out of the folder", where=where, fix=fix)
    home = root.resolve()
    found = (home / pure).resolve()
    if found != home and home not in found.parents:
        raise DataError(f"{text} is a link that leads out of the folder", where=where, fix="copy the file into it")
    return found


def verify(entry: Entry) -> str:
    """The SHA-256 of the entry's file; a DataError with both digests if the registry says another one."""
    found = digest_file(entry.path)
    if entry.sha256 and found != entry.sha256:
        raise DataError(
            f"{entry.path.name} is not the file that was registered: sha256 {found}, registered {entry.sha256}",
            where=entry.where,
            fix="get the registered file again, or register the new digest after you looked at what changed",
        )
    return found


def records_of(entry: Entry) -> Iterator[Record | Bad]:
    """The records of an entry's file, its digest checked first; rows that are none are Bad."""
    verify(entry)
    if entry.format == OWN or (entry.format == "auto" and _is_own(entry.path)):
        yield from _licensed(read_nouns(entry.path), entry)
        return
    opened = open_rows(entry.path)
    rows = (_renamed(row, entry.columns) for row in opened.rows)
    ahead = list(islice(rows, _AHEAD))
    seen = [row for row in ahead if isinstance(row, Row)]
    chosen = detect(seen, where=str(entry.path)) if entry.format == "auto" else by_name(entry.format)
    yield from chosen.read(chain(ahead, rows), Source(entry.path.name, entry.licence))


def _is_own(path: Path) -> bool:
    first = next(iter(islice(open_rows(path).rows, 1)), None)
    return isinstance(first, Row) and isinstance(first.value, Mapping) and noun_of(first.value) is not None


def _licensed(records: Iterator[Record | Bad], entry: Entry) -> Iterator[Record | Bad]:
    """Our own records keep the licence that they name; one of an unknown licence has that of the entry."""
    for record in records:
        if isinstance(record, Bad) or record.origin.licence != "unknown":
            yield record
        else:
            yield replace(record, origin=replace(record.origin, licence=entry.licence))


def _renamed(row: Row | Bad, columns: Mapping[str, str]) -> Row | Bad:
    if not columns or isinstance(row, Bad) or not isinstance(row.value, Mapping):
        return row
    missing = [name for name in columns if name not in row.value]
    if missing:
        return Bad(row.where, f"no column {missing[0]}")
    return Row(row.where, {columns.get(key, key): value for key, value in row.value.items()})


def check_use(paths: Sequence[Path], use: Use) -> tuple[int, list[Blocker]]:
    """How many records there are and which sources forbid a use, in files of records and registries (.yaml, .yml).

    The entries of a registry are judged as they are registered, their files are not read."""
    total, found = 0, list[Blocker]()
    for path in paths:
        if path.suffix in (".yaml", ".yml"):
            found += [
                Blocker(entry.name, entry.licence, 0, tuple(sorted(entry.uses)))
                for entry in read_registry(path).entries.values()
                if use not in entry.uses
            ]
        else:
            count, blocked = blockers(map(require, read_nouns(path)), use)
            total += count
            found += blocked
    return total, found


_SPEC = re.compile(r"(?P<name>.+?)=(?P<weight>\d+(?:\.\d+)?)(?:,(?P<cap>\d+))?")


def ingredient(text: str, known: Registry | None = None) -> Ingredient:
    """What `NAME`, `NAME=WEIGHT` or `NAME=WEIGHT,MOST` means: an entry of the registry of that name, else a file."""
    match = _SPEC.fullmatch(text)
    name = match["name"] if match else text
    weight, cap = (float(match["weight"]), int(match["cap"] or 0)) if match else (0.0, 0)
    if known is not None and (name in known.entries or not Path(name).exists()):
        entry = known.entry(name)
        return Ingredient(str(entry.path), lambda: records_of(entry), weight, cap, entry.uses)
    if not match and "=" in name and not Path(name).exists():
        raise RecipeError(
            f"{text!r}: no weight", where="data mix", fix="FILE=2, or FILE=2,5000 for at most 5000 records"
        )
    return from_file(Path(name), weight=weight, cap=cap)
