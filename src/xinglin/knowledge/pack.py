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
OUTSIDE = "outside.yaml"
"""The file of a pack that lists names it mentions and has no entry for."""
RANGES = "参考范围"
_RANGE = ("人群", "下限", "上限", "单位", "说明")
_REGIMEN = ("人群", "途径", "剂量", "单位", "频次", "每日最大量", "说明")
_RATE = re.compile(r"/(min|h|分钟|小时)$")


@dataclass(frozen=True, slots=True)
class _Shape:
    name: str
    relations: tuple[str, ...]
    labels: tuple[str, ...] = ()


def _fields(names: str) -> tuple[str, ...]:
    return tuple(names.split())


_SHAPES = {
    "drugs": _Shape(
        "通用名",
        _fields(
            "英文名 商品名 别名 拼音 ATC编码 管理类别 类别 作用机制 适应症 用法用量 禁忌 不良反应 注意事项 相互作用 "
            "妊娠哺乳 儿童用药 老年用药 肝肾功能不全 漏服 过量 饮食 贮藏"
        ),
    ),
    "diseases": _Shape(
        "名称",
        _fields(
            "英文名 别名 拼音 ICD-10编码 科室 病因 高危人群 典型症状 检查 鉴别诊断 治疗 常用药物 并发症 护理 饮食 预防 "
            "传染性 预后 何时就医"
        ),
    ),
    "tcm": _Shape(
        "名称",
        _fields("别名 拼音 出处 组成 性味 归经 功效 主治 用法用量 配伍禁忌 使用注意 不良反应 毒性"),
        labels=("类型",),
    ),
    "tests": _Shape(
        "名称",
        _fields(
            "英文名 别名 拼音 科室 检查用途 标本 参考范围 偏高意义 偏低意义 检查前准备 检查过程 检查禁忌 检查风险 "
            "检查后注意 影响因素 何时就医"
        ),
        labels=("类型",),
    ),
    "care": _Shape(
        "名称",
        _fields("别名 适用情形 操作步骤 禁止做法 注意事项 预防 何时就医"),
        labels=("类型",),
    ),
    "terms": _Shape("名称", _fields("别名 释义 常指 安全提醒")),
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
    if not fields.keys() & set(shape.relations):
        fix = f"say something of it: {' '.join(shape.relations)}"
        raise DataError(f"{head}: no field beside its name", where=place(path, node), fix=fix)
    tally.count("rows")
    for relation in shape.relations:
        if relation not in fields:
            continue
        what = f"{head}, field {relation}"
        if relation == REGIMENS:
            _add_regimens(fields[relation], path=path, head=head, item=item, tally=tally)
            continue
        if relation == RANGES:
            _add_ranges(fields[relation], path=path, head=head, item=item, tally=tally)
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


def _add_ranges(node: yaml.Node, *, path: Path, head: str, item: str, tally: Tally) -> None:
    """Reference ranges of a laboratory test: at least one limit and a unit each."""
    what = f"{head}, field {RANGES}"
    if not isinstance(node, yaml.SequenceNode):
        raise DataError(
            f"{what}: expected a list", where=place(path, node), fix=f"write `- {{{': …, '.join(_RANGE)}: …}}`"
        )
    for limits in node.value:
        cells = members(limits, path=path, what=what, allowed=_RANGE)
        values = {key: scalar(value, path=path, what=f"{what}.{key}") for key, value in cells.items()}
        if not values.keys() & {"下限", "上限"}:
            raise DataError(
                f"{what}: 下限 or 上限 is needed", where=place(path, limits), fix=f"fields: {' '.join(_RANGE)}"
            )
        qualifiers = Qualifiers(
            population=values.get("人群", ""),
            unit=values.get("单位", ""),
            note=values.get("说明", ""),
            low=values.get("下限", ""),
            high=values.get("上限", ""),
        )
        tally.add(head, RANGES, render_range(qualifiers), item=item, qualifiers=qualifiers)


def render_range(limits: Qualifiers) -> str:
    """A reference range in Chinese, such as 成人男性120～160 g/L（静脉血）."""
    low, high = limits.low, limits.high
    span = f"{low}～{high}" if low and high else f"不低于{low}" if low else f"不高于{high}"
    unit = f" {limits.unit}" if limits.unit else ""
    note = f"（{limits.note}）" if limits.note else ""
    return f"{limits.population}{span}{unit}{note}"
