"""YAML whose errors can name a line: nodes instead of values, so that every complaint says file:line."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path

import yaml

from xinglin.errors import DataError
from xinglin.files import read_document

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def compose(path: Path) -> yaml.Node:
    """The root node of a YAML file; an empty or malformed file is a DataError with its line."""
    text = read_document(path).text
    try:
        root = yaml.compose(text, Loader=_LOADER)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise DataError(
            f"malformed YAML: {error.problem or error.context}",
            where=f"{path}:{mark.line + 1 if mark else 1}",
            fix="check indentation, brackets and quotes near this line",
        ) from None
    except yaml.YAMLError as error:
        raise DataError(f"malformed YAML: {error}", where=str(path), fix="save the file as plain UTF-8 text") from None
    if root is None:
        raise DataError("the file is empty", where=str(path), fix="add entries or delete the file")
    return root


def place(path: Path, node: yaml.Node) -> str:
    """file:line of a node."""
    return f"{path}:{node.start_mark.line + 1}"


def members(node: yaml.Node, *, path: Path, what: str, allowed: Iterable[str]) -> dict[str, yaml.Node]:
    """The members of a mapping; unknown and repeated keys are DataErrors that name the allowed ones."""
    if not isinstance(node, yaml.MappingNode):
        raise DataError(
            f"{what}: expected `field: value` lines", where=place(path, node), fix=f"fields: {' '.join(allowed)}"
        )
    found: dict[str, yaml.Node] = {}
    names = list(allowed)
    for key, value in node.value:
        name = str(key.value)
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]}? " if near else ""
            raise DataError(
                f"{what}: unknown field {name}", where=place(path, key), fix=f"{hint}allowed: {' '.join(names)}"
            )
        if name in found:
            raise DataError(f"{what}: field {name} twice", where=place(path, key), fix="keep one of them")
        found[name] = value
    return found


def scalar(node: yaml.Node, *, path: Path, what: str) -> str:
    """The text of a non-empty scalar, numbers as they are written."""
    text = node.value.strip() if isinstance(node, yaml.ScalarNode) else ""
    if not text or node.tag == "tag:yaml.org,2002:null":
        raise DataError(f"{what}: expected one non-empty value", where=place(path, node), fix="write one value or text")
    return text


def scalars(node: yaml.Node, *, path: Path, what: str) -> list[str]:
    """The texts of a list of scalars; a lone scalar is a list of one."""
    if isinstance(node, yaml.SequenceNode):
        return [scalar(item, path=path, what=what) for item in node.value]
    return [scalar(node, path=path, what=what)]
