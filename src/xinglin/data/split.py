"""Splits by group, never by row: a group goes to a part by its hash, so that new data moves no old group."""

from __future__ import annotations

import contextlib
import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from xinglin.data.intake import Intake, line
from xinglin.errors import DataError, RecipeError
from xinglin.files import atomic, digest_file, stream_lines, write_text
from xinglin.formats.row import Record
from xinglin.text import squeeze
from xinglin.types import Passage

By = Literal["auto", "group", "dialogue", "document", "entity", "source"]
_SCALE = 1 << 64


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a split: its name, and its share of the groups (`count` 0), or a number of records taken first."""

    name: str
    share: float = 0.0
    count: int = 0


@dataclass(frozen=True, slots=True)
class Split:
    """What became of a split: records and groups of every part, and the SHA-256 of its file."""

    by: str
    seed: int
    groups: int
    merged: int
    records: dict[str, int]
    part_groups: dict[str, int]
    digests: dict[str, str]


def read_parts(text: str) -> tuple[Part, ...]:
    """Parts written as `train=0.8,dev=0.1,test=0.1`, or with numbers of records: `train=rest,test=500`.

    Shares must make 1; with numbers exactly one part is `rest`. Another text is a RecipeError.
    """
    pairs = [item.strip().partition("=") for item in text.split(",") if item.strip()]
    names = [name.strip() for name, _, _ in pairs]
    good = all(name and name.replace("-", "").replace("_", "").isalnum() for name in names)
    if not good or len(set(names)) < max(len(names), 2):
        raise _misread(text)
    try:
        parts = tuple(_part(name.strip(), value.strip()) for name, _, value in pairs)
    except ValueError:
        raise _misread(text) from None
    rest = [part for part in parts if not part.count and not part.share]
    shares = sum(part.share for part in parts)
    if len(rest) > 1 or (not rest and (any(part.count for part in parts) or abs(shares - 1) > 1e-6)):
        raise _misread(text)
    if rest and shares >= 1:
        raise _misread(text)
    return parts


def _part(name: str, value: str) -> Part:
    if value == "rest":
        return Part(name)
    if value.isdigit():
        if int(value) < 1:
            raise ValueError(value)
        return Part(name, count=int(value))
    share = float(value)
    if not 0 < share < 1:
        raise ValueError(value)
    return Part(name, share=share)


def _misread(text: str) -> RecipeError:
    return RecipeError(
        f"parts {text!r} cannot be read",
        where="--parts",
        fix="train=0.8,dev=0.1,test=0.1 (shares make 1), or train=rest,test=500 (records)",
    )


def group_of(record: Record, by: By = "auto") -> str:
    """The name of the group that a record belongs to.

    `group` is Origin.group (the record itself where it has none); `dialogue` what was asked first, so that several
    answers to one question stay together; `document` the document that it is a piece of; `entity` what it is about: a
    tag `entity:…`, its parents, or its group; `source` its file. `auto`: group, else document for a text, else
    dialogue.
    """
    origin = record.origin
    if by == "auto":
        by = "group" if origin.group else "document" if isinstance(record, Passage) else "dialogue"
    match by:
        case "group":
            return f"group {origin.group}" if origin.group else f"id {record.id}"
        case "dialogue":
            return f"asked {_first(record)}"
        case "document":
            return f"document {origin.source} {origin.group}"
        case "entity":
            named = [tag for tag in getattr(record, "tags", ()) if tag.startswith("entity:")]
            known = named or list(origin.parents) or [origin.group]
            return f"entity {min(known)}" if any(known) else f"id {record.id}"
        case "source":
            return f"source {origin.source}"


def _first(record: Record) -> str:
    if isinstance(record, Passage):
        return record.id
    messages = getattr(record, "messages", None) or getattr(record, "prompt", ())
    return squeeze(next((one.content for one in messages if one.role == "user"), record.id)) or record.id


def _value(group: str, seed: int) -> int:
    return int.from_bytes(hashlib.blake2b(f"{seed}\n{group}".encode(), digest_size=8).digest(), "big")


def part_of(group: str, parts: Sequence[Part], seed: int) -> str:
    """The part of a group by shares: which stretch of [0, 1) the hash of the group falls into.

    Parts take their stretches in the order of their names, so that the order on the command line does not matter; a
    part of neither share nor count takes what is left."""
    at, point = 0.0, _value(group, seed) / _SCALE
    ordered = sorted((part for part in parts if part.share), key=lambda part: part.name)
    for part in ordered:
        at += part.share
        if point < at:
            return part.name
    rest = [part.name for part in parts if not part.share and not part.count]
    return rest[0] if rest else ordered[-1].name


def read_clusters(path: Path) -> list[list[str]]:
    """Ids of records that must stay together: OUT.removed.jsonl (id, kept) or OUT.groups.jsonl (members) of dedup."""
    import json

    found: list[list[str]] = []
    for number, text in stream_lines(path):
        if not text.strip():
            continue
        try:
            value = json.loads(text)
            members = value.get("members")
            ids = [one["id"] for one in members] if members else [value["id"], value["kept"]]
        except (ValueError, KeyError, TypeError, AttributeError):
            raise DataError(
                "not a line of near-duplicates",
                where=f"{path}:{number}",
                fix="give OUT.removed.jsonl or OUT.groups.jsonl as `xinglin data dedup` writes them",
            ) from None
        found.append([str(one) for one in ids])
    return found


class Groups:
    """Groups of records, some of them joined into one because near-duplicates link them."""

    def __init__(self, clusters: Iterable[Sequence[str]], by: By = "auto") -> None:
        self.by: By = by
        self.cluster: dict[str, int] = {}
        self.parent: dict[str, str] = {}
        self.first: dict[int, str] = {}
        self.merged = 0
        lead: list[int] = []
        for ids in clusters:
            known = {self._root(lead, self.cluster[one]) for one in ids if one in self.cluster}
            head = min(known, default=len(lead))
            lead.append(len(lead))
            for one in known | {len(lead) - 1}:
                lead[one] = head
            self.cluster |= {one: len(lead) - 1 for one in ids if one not in self.cluster}
        self.cluster = {one: self._root(lead, at) for one, at in self.cluster.items()}

    @staticmethod
    def _root(lead: list[int], at: int) -> int:
        while lead[at] != at:
            at = lead[at]
        return at

    def _top(self, group: str) -> str:
        while (above := self.parent.get(group, group)) != group:
            group = above
        return group

    def see(self, record: Record) -> None:
        """Note a record on the first pass: a cluster joins the groups of all its records."""
        at = self.cluster.get(record.id)
        if at is None:
            return
        group = self._top(group_of(record, self.by))
        other = self._top(self.first.setdefault(at, group))
        if group != other:
            low, high = sorted((group, other))
            self.parent[high] = low
            self.merged += 1

    def of(self, record: Record) -> str:
        """The group of a record, once all have been seen."""
        return self._top(group_of(record, self.by))


def _assign(sizes: Counter[str], parts: Sequence[Part], seed: int) -> dict[str, str]:
    """The part of every group whose place is not given by shares: parts of a number take groups by hash until full."""
    taken: dict[str, str] = {}
    order = sorted(sizes, key=lambda group: (_value(group, seed), group))
    for part in sorted((part for part in parts if part.count), key=lambda part: part.name):
        held = 0
        for group in order:
            if group not in taken and held < part.count and held + sizes[group] <= part.count * 1.05 + 1:
                taken[group] = part.name
                held += sizes[group]
    return taken


def split_files(
    paths: Sequence[Path],
    folder: Path,
    parts: Sequence[Part],
    *,
    by: By = "auto",
    seed: int = 0,
    clusters: Iterable[Sequence[str]] = (),
    moved: Callable[[int], None] = lambda count: None,
) -> Split:
    """Write FOLDER/PART.jsonl for every part, and FOLDER/PART.sha256 for all but `train`: the seal of what is held out.

    Reads the files twice. Raises DataError when there are fewer groups than parts, or a part would be empty.
    """
    groups = Groups(clusters, by)
    for record in Intake(paths, 0, moved).records():
        groups.see(record)
    sizes = Counter(groups.of(record) for record in Intake(paths, 0, moved).records())
    _enough(sizes, parts, paths, by)
    places = _assign(sizes, parts, seed)
    place = {group: places.get(group) or part_of(group, parts, seed) for group in sizes}
    part_groups = Counter(place.values())
    for part in parts:
        if not part_groups[part.name]:
            raise DataError(
                f"part {part.name} gets none of the {len(sizes):,} groups",
                where=str(folder),
                fix="another --seed, a larger share, or a number of records: test=200",
            )
    records = _write(paths, folder, parts, lambda record: place[groups.of(record)])
    digests = {part.name: digest_file(folder / f"{part.name}.jsonl") for part in parts}
    for part in parts:
        if part.name != "train":
            write_text(folder / f"{part.name}.sha256", f"{digests[part.name]}  {part.name}.jsonl\n")
    return Split(by, seed, len(sizes), groups.merged, records, dict(part_groups), digests)


def _enough(sizes: Counter[str], parts: Sequence[Part], paths: Sequence[Path], by: By) -> None:
    if len(sizes) < len(parts):
        raise DataError(
            f"{len(sizes)} group(s) cannot be split into {len(parts)} parts",
            where=", ".join(map(str, paths)),
            fix=f"these groups are by {by}; --by dialogue has the most groups",
        )


def _write(
    paths: Sequence[Path], folder: Path, parts: Sequence[Part], place: Callable[[Record], str]
) -> dict[str, int]:
    outs = {part.name: folder / f"{part.name}.jsonl" for part in parts}
    if {path.resolve() for path in paths} & {out.resolve() for out in outs.values()}:
        raise DataError("a part is one of the inputs", where=str(folder), fix="name another folder with -o")
    counts = dict.fromkeys(outs, 0)
    hashes = {name: hashlib.sha256() for name in outs}
    with contextlib.ExitStack() as stack:
        files = {name: stack.enter_context(atomic(out)) for name, out in outs.items()}
        for record in Intake(paths, 0).records():
            name = place(record)
            text = line(record)
            files[name].write(text)
            hashes[name].update(text.encode())
            counts[name] += 1
        for name, found in hashes.items():
            _keep_seal(folder / f"{name}.sha256", found.hexdigest())
    return counts


def _keep_seal(seal: Path, digest: str) -> None:
    """Refuse to replace a sealed part by another one; the same part may be written again."""
    if not seal.is_file():
        return
    known = seal.read_text(encoding="utf-8").partition(" ")[0]
    if known != digest:
        raise DataError(
            f"this part is sealed ({known[:16]}), and what would be written is another one ({digest[:16]})",
            where=str(seal),
            fix="keep the held-out part: split into another folder; or delete the seal if nothing was measured on it",
        )
