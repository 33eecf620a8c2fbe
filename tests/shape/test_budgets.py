"""The size of things: functions, files, parameters, and blocks that stand twice (architecture.md section 8)."""

from __future__ import annotations

import ast
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median

from house import ROOT, SOURCE, name, python_files

Function = ast.FunctionDef | ast.AsyncFunctionDef
BLOCK = 10


def functions() -> Iterator[tuple[Path, Function]]:
    for path in python_files(SOURCE):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, Function):
                yield path, node


def length(function: Function) -> int:
    """Lines from `def` to the end."""
    assert function.end_lineno is not None
    return function.end_lineno - function.lineno + 1


def repeated(files: Sequence[tuple[str, str]]) -> tuple[int, int, list[str]]:
    """Lines inside blocks of BLOCK lines that stand at two places, all lines, and where such blocks are.

    Blank lines and comments do not count, and neither does white space.
    """
    places: dict[tuple[str, ...], list[tuple[str, int]]] = defaultdict(list)
    numbered: dict[str, list[int]] = {}
    for file, text in files:
        plain = [(number, " ".join(line.split())) for number, line in enumerate(text.splitlines(), 1)]
        kept = [(number, line) for number, line in plain if line and not line.startswith("#")]
        numbered[file] = [number for number, _ in kept]
        for start in range(len(kept) - BLOCK + 1):
            places[tuple(line for _, line in kept[start : start + BLOCK])].append((file, start))
    twice = [place for found in places.values() if len(found) > 1 for place in found]
    lines = {(file, start + offset) for file, start in twice for offset in range(BLOCK)}
    return len(lines), sum(map(len, numbered.values())), [f"{file}:{numbered[file][start]}" for file, start in twice]


def test_half_of_all_functions_are_short_nine_of_ten_fit_a_screen_and_none_is_long() -> None:
    found = sorted((length(node), f"{name(path)}:{node.lineno} {node.name}") for path, node in functions())
    sizes = [size for size, _ in found]
    assert median(sizes) <= 12
    assert sizes[int(0.9 * len(sizes))] <= 40
    assert sizes[-1] <= 80, found[-3:]


def test_no_function_takes_more_than_seven_parameters() -> None:
    crowded = []
    for path, node in functions():
        taken = node.args
        count = len([*taken.posonlyargs, *taken.args, *taken.kwonlyargs]) + bool(taken.vararg) + bool(taken.kwarg)
        if count - (bool(taken.args) and taken.args[0].arg in ("self", "cls")) > 7:
            crowded.append(f"{name(path)}:{node.lineno} {node.name} ({count})")
    assert crowded == []


def test_no_file_is_longer_than_400_lines() -> None:
    files = [*python_files(SOURCE, ROOT / "tests", ROOT / "bench"), *SOURCE.rglob("*.css"), *SOURCE.rglob("*.js")]
    sizes = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    assert {path: size for path, size in sizes.items() if size > 400} == {}


def test_hardly_any_block_of_ten_lines_stands_twice() -> None:
    lines, total, where = repeated([(name(path), path.read_text(encoding="utf-8")) for path in python_files(SOURCE)])
    assert lines <= 0.02 * total, where


def test_a_block_that_stands_twice_is_found_whatever_its_spacing() -> None:
    block = "\n".join(f"value_{number} = {number}" for number in range(BLOCK))
    spaced = "# a reason\n\n" + block.replace("\n", "\n\n").replace(" = ", "  =  ")
    assert repeated([("one.py", block), ("two.py", spaced)]) == (20, 20, ["one.py:1", "two.py:3"])
    assert repeated([("one.py", block), ("two.py", spaced.replace("value_4", "other"))])[0] == 0
