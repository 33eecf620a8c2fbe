"""Lists of turns inside the rows of preferences: read into messages, and written again in the shape they had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from xinglin.formats.conversations import Layout, parse_turns, render_turns
from xinglin.formats.row import Source
from xinglin.formats.samples import Parsed, Unfit, build, keep
from xinglin.types import Message, Role

_BY_ROLE = Layout("turns", "messages", "role", "content", "user", "assistant")
_BY_FROM = Layout("turns", "conversations", "from", "value", "human", "gpt")


def read_turns(turns: Any, column: str) -> tuple[list[tuple[Role, str]], dict[str, Any]]:
    """The turns of a list of `{from, value}` or `{role, content}`, and what is to be kept to write it again."""
    first = turns[0] if isinstance(turns, list) and turns else None
    layout = _BY_FROM if isinstance(first, Mapping) and "from" in first else _BY_ROLE
    try:
        found, how = parse_turns(replace(layout, column=column), turns)
    except Unfit as reason:
        problem = str(reason)
        raise Unfit(problem if problem.startswith(column) else f"{column}: {problem}") from None
    return found, {**how, "from": layout is _BY_FROM}


def write_turns(messages: Sequence[Message], how: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The list of turns, as it was read where nothing has changed since; by role and content where nothing is known."""
    layout = _BY_FROM if how.get("from") else _BY_ROLE
    held = Parsed(tuple(messages), keep({}, layout.name, **{key: how[key] for key in how if key != "from"}))
    return render_turns(layout, build(held, Source(""), ""), messages) if messages else []


def read_answer(value: Any, column: str) -> tuple[str, dict[str, Any] | None]:
    """An answer that is a text, a turn, or a list of one turn; and what is to be kept to write it again."""
    if isinstance(value, str):
        return value, None
    turns, how = read_turns([value] if isinstance(value, Mapping) else value, column)
    if len(turns) != 1 or turns[0][0] != "assistant":
        raise Unfit(f"{column} is not one turn of the assistant")
    return turns[0][1], {**how, "turn": isinstance(value, Mapping)}


def write_answer(answer: str, how: Mapping[str, Any] | None) -> Any:
    """The answer in the shape it had; a text where nothing is known."""
    if how is None:
        return answer
    turns = write_turns([Message("assistant", answer)], {key: how[key] for key in how if key != "turn"})
    return turns[0] if how.get("turn") else turns
