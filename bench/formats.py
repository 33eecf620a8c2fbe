"""What `xinglin data import` makes of every file of a folder: container, encoding, format, rows in and out.

python bench/formats.py DATA     # DATA: the shared data; writes bench/results/formats.md
"""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

from xinglin.errors import DataError
from xinglin.formats.containers import open_rows
from xinglin.formats.reading import Import, Imported

HERE = Path(__file__).parent
RESULT = HERE / "results" / "formats.md"
HEAD = ["| file | container | encoding | format | rows | kept | dropped |", "|---|---|---|---|---:|---:|---:|"]
MANY = 20
"""Files of one format in one folder beyond which they are one line."""


def look(path: Path) -> Imported | str:
    """What became of a file, or why it has no records."""
    job = Import([path], max_dropped=1)
    try:
        for _ in job.records():
            pass
    except DataError as error:
        return error.problem
    return job.done[0]


def line(name: str, one: Imported) -> str:
    """A row of the table."""
    counts = f"{one.rows:,} | {one.kept:,} | {one.dropped:,}"
    return f"| {name} | {one.container} | {one.encoding or '–'} | {one.format} | {counts} |"


def report(data: Path) -> str:
    """The tables of what is recognised and what holds no records of a known kind."""
    paths = [path for path in sorted(data.rglob("*")) if path.is_file() and path.parent != data]
    seen = {path: look(path) for path in paths}
    known = {path: one for path, one in seen.items() if isinstance(one, Imported)}
    crowds = {
        key for key, count in Counter((path.parent, one.format) for path, one in known.items()).items() if count > MANY
    }
    lines = [
        line(str(path.relative_to(data)), one) for path, one in known.items() if (path.parent, one.format) not in crowds
    ]
    for parent, name in sorted(crowds):
        mine = [one for path, one in known.items() if (path.parent, one.format) == (parent, name)]
        rows, kept, dropped = (sum(getattr(one, what) for one in mine) for what in ("rows", "kept", "dropped"))
        whole = Imported("", mine[0].container, mine[0].encoding, name, rows, kept, dropped)
        lines.append(line(f"{parent.relative_to(data)}/* ({len(mine)} files)", whole))
    others = [
        f"| {path.relative_to(data)} | {open_rows(path).kind} | {sum(1 for _ in open_rows(path).rows):,} |"
        for path, one in seen.items()
        if isinstance(one, str)
    ]
    kept = sum(one.kept for one in known.values())
    return "\n".join(
        [
            f"{len(known)} of {len(seen)} files hold records of a known format: {kept:,} records.",
            "",
            *HEAD,
            *lines,
            "",
            "No records of a known kind (knowledge tables, word lists, statistics, templates):",
            "",
            "| file | container | rows |",
            "|---|---|---:|",
            *others,
            "",
        ]
    )


def main() -> None:
    """Print the tables and keep them."""
    data = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE.parent.parent / "shared" / "data"
    text = report(data)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
