"""Import knowledge from a named pack or a file; the content of the file decides how it is read."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path

from xinglin.errors import DataError
from xinglin.files import read_document
from xinglin.knowledge.diseases import RELATIONS, read_diseases
from xinglin.knowledge.leaflets import read_leaflets
from xinglin.knowledge.pack import read_pack
from xinglin.knowledge.tally import Dropped, Imported

__all__ = ["PACKS", "Dropped", "Imported", "import_source"]

PACKS = Path(__file__).parent.parent / "packs"
_KNOWN = (
    "known: pack:NAME; a pack folder (drugs/ diseases/ tcm/ with .yaml); drug leaflets (a JSON list of texts, "
    f"a name and 字段:值 lines); a disease table (CSV with name and {', '.join(RELATIONS)})"
)


def import_source(spec: str, *, root: Path) -> Imported:
    """Import `pack:NAME` (shipped with xinglin) or a path relative to `root`.

    Raises DataError for what is missing, empty or of an unknown shape; the error lists what is known.
    """
    path = pack_folder(spec, root=root)
    if path.is_dir():
        return read_pack(path, licence="Apache-2.0" if path.parent == PACKS else "unknown (own pack)")
    return _importer(path)(path)


def pack_folder(spec: str, *, root: Path) -> Path:
    """Where `pack:NAME` or a path relative to `root` is; a name that no pack has is a DataError."""
    kind, separator, name = spec.partition(":")
    if not separator or kind != "pack":
        return root / spec
    packs = sorted(path.name for path in PACKS.iterdir() if path.is_dir())
    if name not in packs:
        raise DataError(f"no pack named {name}", where=f"pack:{name}", fix=f"packs: {', '.join(packs)}")
    return PACKS / name


def _importer(path: Path) -> Callable[[Path], Imported]:
    text = read_document(path).text.lstrip()
    if not text:
        raise DataError("the file is empty", where=str(path), fix=_KNOWN)
    if text[0] == "[" and text[1:].lstrip()[:1] == '"':
        return read_leaflets
    if text[0] in "[{":
        raise DataError(f"unknown shape of JSON: {_keys(text)}", where=str(path), fix=_KNOWN)
    header = [cell.strip() for cell in next(csv.reader([text.split("\n", 1)[0]]), [])]
    if "name" in header and RELATIONS.keys() & set(header):
        return read_diseases
    shown = ", ".join(cell[:20] for cell in header[:12] if cell)
    raise DataError(f"unknown shape: the first line reads {shown}", where=str(path), fix=_KNOWN)


def _keys(text: str) -> str:
    """The keys of the first record, to say what was seen."""
    first = text[1:].lstrip() if text[0] == "[" else text
    try:
        value, _ = json.JSONDecoder().raw_decode(first)
    except json.JSONDecodeError:
        return "malformed or empty"
    return f"keys {', '.join(map(str, value))}" if isinstance(value, dict) else f"a list of {type(value).__name__}"
