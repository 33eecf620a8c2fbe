"""`xinglin knowledge …`: look into a pack or a knowledge file, and check a pack."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from xinglin.errors import GateError

app = typer.Typer(help="查看与检查知识包。Look into and check knowledge packs.", no_args_is_help=True)

Source = Annotated[
    str, typer.Argument(metavar="SOURCE", help="pack:starter、知识包文件夹或知识文件 a pack, its folder, or a file")
]
DataRoot = Annotated[
    Path | None, typer.Option("--data-root", envvar="XINGLIN_DATA", help="相对路径的起点 base of relative paths")
]
AsJson = Annotated[bool, typer.Option("--json", help="供程序读取的 JSON 输出 for machines")]


@app.command()
def check(source: Source, *, data_root: DataRoot = None, as_json: AsJson = False) -> None:
    """检查知识包：编号、代码、单位、悬空引用、矛盾、重复、缺项。Check a pack: codes, units, references, contents."""
    from xinglin.cli import screen
    from xinglin.knowledge.check import check as check_facts
    from xinglin.knowledge.check import read_outside
    from xinglin.knowledge.sources import import_source, pack_folder

    root = data_root or Path()
    facts = import_source(source, root=root).facts
    found = check_facts(facts, outside=read_outside(pack_folder(source, root=root)))
    if as_json:
        screen.print_json({"facts": len(facts), "findings": [asdict(one) for one in found]})
    else:
        screen.show_findings(source, len(facts), found)
    if found:
        raise GateError(
            f"{len(found)} finding(s) in {len(facts):,} facts", where=source, fix="mend the entries listed above"
        )


@app.command()
def show(
    source: Source,
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME…]", help="条目名或别名 names of entries")] = None,
    *,
    stats: Annotated[bool, typer.Option("--stats", help="数量统计 counts")] = False,
    data_root: DataRoot = None,
    as_json: AsJson = False,
) -> None:
    """显示条目，或用 --stats 显示数量。Show entries, or with --stats the counts."""
    from xinglin.cli import screen
    from xinglin.errors import DataError
    from xinglin.knowledge.inventory import count
    from xinglin.knowledge.sources import import_source
    from xinglin.knowledge.store import Knowledge

    facts = import_source(source, root=data_root or Path()).facts
    if stats or not names:
        inventory = count(facts)
        screen.print_json(asdict(inventory)) if as_json else screen.show_inventory(source, inventory)
        return
    knowledge = Knowledge(facts)
    entries = {name: knowledge.lookup(name) for name in names}
    for name, found in entries.items():
        if not found:
            near = ", ".join(knowledge.near(name)) or "xinglin knowledge show SOURCE --stats"
            raise DataError(f"no entry {name}", where=source, fix=f"near: {near}")
    screen.print_json(entries) if as_json else screen.show_entries(entries)
