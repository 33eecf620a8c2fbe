"""Read a pack: a folder of YAML entries of our own writing (drugs, diseases, herbs and formulas)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

from xinglin.errors import DataError
from xinglin.knowledge.nodes import compose, members, place, scalar, scalars
from xinglin.knowledge.tally import Imported, Tally
from xinglin.types import Qualifiers

REGIMENS = "用法用量"
_REGIMEN = ("人群", "途径", "剂量", "单位", "频次", "每日最大量", "说明")
_RATE = re.compile(r"/(min|h|分钟|小时)$")


@dataclass(frozen=True, slots=True)
class _Shape:
    name: str
    relations: tuple[str, ...]
    labels: tuple[str, ...] = ()


_SHAPES = {
    "drugs": _Shape(
        "通用名",
        ("商品名", "别名", "类别", "适应症", REGIMENS, "禁忌", "不良反应", "注意事项", "相互作用", "妊娠哺乳"),
    ),
    "diseases": _Shape(
        "名称",
        ("别名", "科室", "典型症状", "检查", "治疗", "常用药物", "并发症", "护理", "何时就医"),
    ),
    "tcm": _Shape("名称", ("别名", "功效", "主治", "组成", "配伍禁忌"), labels=("类型",)),
}


def read_pack(folder: Path, *, licence: str = "Apache-2.0") -> Imported:
    """All facts of a pack folder; a malformed entry is a DataError that names file, line, entry and field."""
    files = sorted(path for path in folder.glob("*/*") if path.suffix in (".yaml", ".yml"))
    if not files:
        raise DataError(
            "no pack here", where=str(folder), fix=f"a pack holds {', '.join(f'{name}/*.yaml' for name in _SHAPES)}"
        )
    tally = Tally(f"pack:{folder.name}", licence=licence, kind="summary")
    seen: dict[tuple[str, str], str] = {}
    for path in files:
        shape = _SHAPES.get(path.parent.name)
        if shape is None:
            raise DataError("unknown kind of entry", where=str(path), fix=f"use a folder named {', '.join(_SHAPES)}")
        root = compose(path)
        if not isinstance(root, yaml.SequenceNode):
            raise DataError("expected a list of entries", where=place(path, root), fix=f"start with `- {shape.name}:`")
        for node in root.value:
            head = _entry(node, shape, path, tally)
            before = seen.setdefault((path.parent.name, head), place(path, node))
            if before != place(path, node):
                raise DataError(
                    f"{head}: second entry of this name", where=place(path, node), fix=f"merge it with {before}"
                )
    return tally.imported("utf-8")


def _entry(node: yaml.Node, shape: _Shape, path: Path, tally: Tally) -> str:
    entry = f"entry at line {node.start_mark.line + 1}"
    allowed = (shape.name, *shape.labels, *shape.relations)
    head = _head(node, shape, path) or entry
    fields = members(node, path=path, what=head, allowed=allowed)
    if shape.name not in fields:
        raise DataError(f"{entry}: no {shape.name}", where=place(path, node), fix=f"start with `- {shape.name}: …`")
    head = scalar(fields[shape.name], path=path, what=f"{entry}, field {shape.name}")
    item = f"{path.parent.name}/{path.name}:{node.start_mark.line + 1}"
    tally.count("rows")
    for relation in shape.relations:
        if relation not in fields:
            continue
        what = f"{head}, field {relation}"
        if relation == REGIMENS:
            _add_regimens(fields[relation], path=path, head=head, item=item, tally=tally)
            continue
        for tail in scalars(fields[relation], path=path, what=what):
            tally.add(head, relation, tail, item=item)
    return head


def _head(node: yaml.Node, shape: _Shape, path: Path) -> str:
    """The entry's name if it can be read, so that complaints about other fields can say whose they are."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == shape.name:
                return scalar(value, path=path, what=f"field {shape.name}")
    return ""


def _add_regimens(node: yaml.Node, *, path: Path, head: str, item: str, tally: Tally) -> None:
    what = f"{head}, field {REGIMENS}"
    if not isinstance(node, yaml.SequenceNode):
        raise DataError(
            f"{what}: expected a list", where=place(path, node), fix=f"write `- {{{': …, '.join(_REGIMEN)}: …}}`"
        )
    for regimen in node.value:
        cells = members(regimen, path=path, what=what, allowed=_REGIMEN)
        values = {key: scalar(value, path=path, what=f"{what}.{key}") for key, value in cells.items()}
        if "途径" not in values or "剂量" not in values:
            raise DataError(
                f"{what}: 途径 and 剂量 are needed", where=place(path, regimen), fix=f"fields: {' '.join(_REGIMEN)}"
            )
        qualifiers = Qualifiers(
            population=values.get("人群", ""),
            route=values["途径"],
            dose=values["剂量"],
            unit=values.get("单位", ""),
            frequency=values.get("频次", ""),
            daily_max=values.get("每日最大量", ""),
            note=values.get("说明", ""),
        )
        tally.add(head, REGIMENS, render_regimen(qualifiers), item=item, qualifiers=qualifiers)


def render_regimen(regimen: Qualifiers) -> str:
    """A regimen in Chinese, such as 成人口服，一次5 mg，每日1次，每日最大量10 mg."""
    gap = "" if not regimen.unit or "\u4e00" <= regimen.unit[0] <= "\u9fff" else " "
    once = "" if _RATE.search(regimen.unit) else "一次"
    parts = [
        f"{regimen.population}{regimen.route}",
        f"{once}{regimen.dose}{gap}{regimen.unit}",
        regimen.frequency,
        f"每日最大量{regimen.daily_max}" if regimen.daily_max else "",
        regimen.note,
    ]
    return "，".join(part for part in parts if part)
