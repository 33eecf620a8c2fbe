"""What the pages show can be run, and what they link to is there."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

import pytest
from house import ROOT, is_ours, name, pages, problem, shown_commands, split_page

_LINK = re.compile(r"""\]\(\s*<?([^)\s>]+)>?[^)]*\)|(?:src|href)=["']([^"']+)["']""")
_ELSEWHERE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//|#)", re.IGNORECASE)


def links(text: str) -> list[tuple[int, str]]:
    """Targets of links and pictures that lie in this project, without anchors."""
    _, outside = split_page(text)
    plain = [(number, re.sub(r"`[^`]*`", "", line)) for number, line in outside]
    targets = [(number, one or two) for number, line in plain for one, two in _LINK.findall(line)]
    return [(number, unquote(to.split("#")[0])) for number, to in targets if not _ELSEWHERE.match(to)]


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_command_a_page_shows_exists(page: Path) -> None:
    shown = shown_commands(page.read_text(encoding="utf-8"))
    wrong = [f"{name(page)}:{number} {line.strip()}: {why}" for number, line in shown if (why := problem(line))]
    assert wrong == []


@pytest.mark.parametrize("page", pages(), ids=name)
def test_every_file_a_page_links_to_exists(page: Path) -> None:
    found = links(page.read_text(encoding="utf-8"))
    gone = [f"{name(page)}:{number} {target}" for number, target in found if not (page.parent / target).exists()]
    assert gone == []


@pytest.mark.parametrize(
    ("line", "part"),
    [
        ("xinglin fly recipes/quickstart.yaml", "no verb 'fly'"),
        ("xinglin runs fly", "no verb 'fly'"),
        ("xinglin run recipes/quickstart.yaml --untill sft", "no option '--untill'"),
        ("xinglin plan recipes/nowhere.yaml", "no file"),
        ("$ XINGLIN_DATA=. .venv/bin/xinglin plan recipes/quickstart.yaml --jsn | head", "no option '--jsn'"),
        ("make fly", "no target"),
        ("make test FLY=1", "no target or setting"),
        ("python -m pytest tests/shape/test_nowhere.py", "no file"),
        ("python -m pytest tests/shape/test_commands.py::test_nothing", "no test"),
    ],
)
def test_a_command_that_does_not_exist_is_found(line: str, part: str) -> None:
    assert part in problem(line)


@pytest.mark.parametrize(
    "line",
    [
        "xinglin --version",
        "$ xinglin run recipes/quickstart.yaml --set sft.epochs=2 --runs=elsewhere  # 改一个参数",
        "echo 你好 | xinglin chat assistant:recipes/quickstart.yaml > answers.txt && xinglin runs list",
        "make quickstart TORCH_INDEX=https://download.pytorch.org/whl/cpu",
        ".venv/bin/python -m pytest tests/shape/test_commands.py::links -x",
    ],
)
def test_a_command_that_exists_passes(line: str) -> None:
    assert problem(line) == ""
    assert is_ours(line) or line.startswith(("echo", "$"))


def test_commands_are_found_in_blocks_and_spans_and_continued_lines_are_joined() -> None:
    page = "`make test` and `xinglin` and `make`\n\n```sh\nxinglin run \\\n  a.yaml\nls\n```\nxinglin plain text\n"
    assert shown_commands(page) == [(5, "xinglin run   a.yaml"), (1, "make test"), (1, "xinglin"), (1, "make")]


def test_links_of_all_kinds_are_found_and_those_to_elsewhere_left_alone() -> None:
    page = '[a](docs/tour.md#start) ![b](p.png "title") <img src="q.png"> [c](https://x.cn) [d](#e) `[f](g.md)`'
    assert links(page) == [(1, "docs/tour.md"), (1, "p.png"), (1, "q.png")]
    assert ROOT.joinpath("Makefile").is_file()
