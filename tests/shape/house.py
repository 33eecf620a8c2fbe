"""What the shape tests know about the house: its files, its pages, and whether a documented command can be run."""

from __future__ import annotations

import ast
import re
import shlex
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import typer.main

from xinglin.cli import app

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "xinglin"
_FENCE = re.compile(r"^\s*(```|~~~)")
_SPAN = re.compile(r"`([^`\n]+)`")
_OPERATORS = frozenset("();<>|&")


@cache
def kept_files() -> tuple[Path, ...]:
    """Every file that is or would be committed (without git: every file outside hidden and output folders)."""
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True,
        check=False,
    )
    if listed.returncode == 0:
        names = listed.stdout.decode().split("\0")
        return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())
    outside = {"runs", "build", "dist", "__pycache__"}
    return tuple(
        path
        for path in sorted(ROOT.rglob("*"))
        if path.is_file() and not any(part in outside or part[0] == "." for part in path.relative_to(ROOT).parts)
    )


def python_files(*folders: Path) -> list[Path]:
    """Python files below the folders, in order."""
    return sorted(path for folder in folders for path in folder.rglob("*.py"))


def name(path: Path) -> str:
    """A file's name as people say it: from the root of the project."""
    return path.relative_to(ROOT).as_posix()


def pages() -> list[Path]:
    """The pages that people read; decisions are a record of their day and may show what is gone."""
    found = [*sorted(ROOT.glob("README*.md")), ROOT / "AGENTS.md", *sorted((ROOT / "docs").rglob("*.md"))]
    return [page for page in found if page.is_file() and "decisions" not in page.parts]


def split_page(text: str) -> tuple[list[tuple[int, str]], list[tuple[int, str]]]:
    """The lines inside fenced blocks (continued lines joined) and the lines outside, each with its number."""
    inside: list[tuple[int, str]] = []
    outside: list[tuple[int, str]] = []
    fenced, held = False, ""
    for number, line in enumerate(text.splitlines(), 1):
        if _FENCE.match(line):
            fenced, held = not fenced, ""
        elif not fenced:
            outside.append((number, line))
        elif line.endswith("\\"):
            held += line[:-1]
        else:
            inside.append((number, held + line))
            held = ""
    return inside, outside


def shown_commands(text: str) -> list[tuple[int, str]]:
    """Commands of ours that a page shows, in fenced blocks and in `code spans`."""
    inside, outside = split_page(text)
    spans = [(number, span) for number, line in outside for span in _SPAN.findall(line)]
    starts = re.compile(r"^\s*(\$ )?(\.venv/bin/)?(xinglin|make|python3? -m (xinglin|pytest)) ")
    return [(number, line) for number, line in [*inside, *spans] if starts.match(line + " ")]


def problem(command: str) -> str:
    """Why a command line cannot be run: an unknown verb, option, target or file. Empty: it can."""
    found = [_check(words) for words in _simple_commands(command.strip().removeprefix("$ "))]
    return "; ".join(one for one in found if one)


def is_ours(command: str) -> bool:
    """Whether a command line starts one of our verbs, targets or tests, so that `problem` can judge it."""
    commands = _simple_commands(command)
    return bool(commands) and commands[0][:1] in (["xinglin"], ["make"], ["pytest"])


def _simple_commands(line: str) -> list[list[str]]:
    """Words of each command of a pipeline; programs without folder, `python -m NAME` as NAME, no redirections."""
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    into = False
    for word in lexer:
        if set(word) <= _OPERATORS:
            into = word[0] in "<>"
            if not into:
                commands.append([])
        elif not into:
            commands[-1].append(word)
        else:
            into = False
    return [_plain(words) for words in commands if words]


def _plain(words: list[str]) -> list[str]:
    while len(words) > 1 and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    first = words[0].rsplit("/", 1)[-1]
    if first in ("python", "python3") and words[1:2] == ["-m"]:
        return words[2:]
    return [first, *words[1:]]


def _check(words: list[str]) -> str:
    checks = {"xinglin": _check_verb, "make": _check_target, "pytest": _check_tests}
    check = checks.get(words[0])
    return check(words[1:]) if check else ""


def _check_verb(words: list[str]) -> str:
    command: Any = typer.main.get_command(app)
    while words and hasattr(command, "commands") and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no verb {words[0]!r}; there are: {', '.join(command.commands)}"
        command, words = command.commands[words[0]], words[1:]
    known = {"--help", *(option for parameter in command.params for option in parameter.opts)}
    for word in words:
        option = word.split("=", 1)[0]
        if option.startswith("-") and option not in known:
            return f"no option {option!r}; there are: {', '.join(sorted(one for one in known if one[0] == '-'))}"
        if word.startswith("recipes/") and not (ROOT / word).is_file():
            return f"no file {word!r}"
    return ""


def _check_target(words: list[str]) -> str:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))
    settings = set(re.findall(r"^([A-Z_]+) \?=", text, re.MULTILINE))
    for word in words:
        setting, equals, _ = word.partition("=")
        if (setting not in settings) if equals else (word not in targets):
            return f"no target or setting {word!r}; there are: {', '.join(sorted(targets | settings))}"
    return ""


def _check_tests(words: list[str]) -> str:
    for word in (word for word in words if not word.startswith("-") and "/" in word):
        file, _, test = word.partition("::")
        path = ROOT / file
        if not path.exists():
            return f"no file {file!r}"
        if test and test.split("[")[0] not in _functions(path):
            return f"no test {test!r} in {file}"
    return ""


def _functions(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
