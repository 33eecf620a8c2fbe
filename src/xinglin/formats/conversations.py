"""Conversations as lists of turns: ShareGPT, OpenAI messages, DISC, ReMeDi sessions, files that are one such list."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain, islice
from typing import Any

from xinglin.formats.dialogues import tags
from xinglin.formats.row import Bad, Format, Record, Row, Source
from xinglin.formats.samples import (
    Fields,
    Parsed,
    Unfit,
    as_sample,
    build,
    columns,
    cut,
    edited,
    form,
    join,
    keep,
    mapping,
    most,
    refuse,
    rest,
    row_format,
    said,
)
from xinglin.types import Message, Role, Sample

_USERS = ("user", "human", "patient", "client", "seeker", "患者", "病人", "来访者", "求助者", "用户", "P", "usr")
_HEARD = ("observation", "tool", "function")
_ASSISTANTS = ("assistant", "gpt", "chatgpt", "bot", "model", "doctor", "counselor", "supporter", "D", "sys")
_CHINESE = ("医生", "咨询师", "助手", "function_call", "bard", "bing")
SPEAKERS: Mapping[str, Role] = {
    **dict.fromkeys((*_USERS, *_HEARD), "user"),
    **dict.fromkeys((*_ASSISTANTS, *_CHINESE), "assistant"),
    "system": "system",
}
"""What the speakers of public dialogues are called, and the roles they have here."""


@dataclass(frozen=True, slots=True)
class Layout:
    """How a format writes turns: the column of the list, the keys of a turn, and what user and assistant are called."""

    name: str
    column: str
    role: str
    text: str
    user: str
    assistant: str
    merge: bool = False
    """Whether turns of one speaker in a row become one message."""
    system: str = ""
    """The column of a system text ("" : it is the first turn)."""

    def called(self, role: Role) -> str:
        """What a role is called in this format."""
        return {"user": self.user, "assistant": self.assistant}.get(role, "system")


def parse_turns(layout: Layout, turns: Any) -> tuple[list[tuple[Role, str]], dict[str, Any]]:
    """The (role, text) pairs of a list of turns, and what is to be kept to write it again."""
    if not isinstance(turns, list) or not turns:
        raise Unfit(f"{layout.column} is not a list of turns" if turns else f"{layout.column} is empty")
    names: list[str] = []
    texts: list[str] = []
    beside: list[dict[str, Any]] = []
    for number, turn in enumerate(turns, 1):
        if not isinstance(turn, Mapping) or not isinstance(turn.get(layout.role), str):
            raise Unfit(f"turn {number} has no {layout.role}")
        if turn[layout.role] not in SPEAKERS:
            raise Unfit(f"turn {number} is spoken by {turn[layout.role]!r}: known are {', '.join(SPEAKERS)}")
        if not isinstance(turn.get(layout.text), str):
            raise Unfit(f"turn {number} has no text in {layout.text}")
        names.append(turn[layout.role])
        texts.append(turn[layout.text])
        beside.append(rest(turn, (layout.role, layout.text)) if len(turn) > 2 else {})
    said_: list[tuple[Role, str]] = [(SPEAKERS[name], content) for name, content in zip(names, texts, strict=True)]
    how: dict[str, Any] = _naming(layout, said_, names)
    if any(beside):
        how["beside"] = beside
    if layout.merge:
        said_, how["lengths"] = _merged(said_)
    return said_, how


def _naming(layout: Layout, said_: list[tuple[Role, str]], names: list[str]) -> dict[str, Any]:
    """How the speakers are called, where it is not as the format does it: by role, or turn by turn."""
    if all(layout.called(role) == name for (role, _), name in zip(said_, names, strict=True)):
        return {}
    by_role: dict[str, str] = {}
    for (role, _), name in zip(said_, names, strict=True):
        if by_role.setdefault(role, name) != name:
            return {"names": names}
    return {"speakers": by_role}


def _merged(turns: list[tuple[Role, str]]) -> tuple[list[tuple[Role, str]], list[list[int]]]:
    """Turns of one speaker in a row as one; the lengths of what was joined (nothing, where nothing was)."""
    groups: list[tuple[Role, list[str]]] = []
    for role, content in turns:
        if groups and groups[-1][0] == role:
            groups[-1][1].append(content)
        else:
            groups.append((role, [content]))
    joined: list[tuple[Role, tuple[str, list[int]]]] = [(role, join(*contents)) for role, contents in groups]
    lengths = [found for _, (_, found) in joined]
    merged: list[tuple[Role, str]] = [(role, content) for role, (content, _) in joined]
    return merged, lengths if len(groups) < len(turns) else []


def render_turns(layout: Layout, sample: Sample, messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The list of turns of (some of) a sample's messages, written as it was read where nothing has changed since."""
    how = form(sample, layout.name)
    lengths = how.get("lengths")
    if isinstance(lengths, list) and len(lengths) == len(messages):
        spread = [cut(message.content, of) or [message.content] for message, of in zip(messages, lengths, strict=True)]
    else:
        spread = [[message.content] for message in messages]
    flat: list[tuple[Role, str]] = [
        (message.role, part) for message, parts in zip(messages, spread, strict=True) for part in parts
    ]
    names = how.get("names", ())
    by_role = how.get("speakers", {})
    beside = _beside(sample, how.get("beside", ()))
    turns = []
    for at, (role, content) in enumerate(flat):
        called = names[at] if len(names) == len(flat) and SPEAKERS.get(names[at]) == role else None
        turn = {layout.role: called or by_role.get(role) or layout.called(role), layout.text: content}
        turns.append({**turn, **(beside[at] if len(beside) == len(flat) else {})})
    return turns


def _beside(sample: Sample, beside: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """What stood beside the turns; of a sample that was edited since only numbers: the rest may repeat the old text."""
    if not beside or not edited(sample):
        return beside
    return [{key: value for key, value in one.items() if str(value).isdigit()} for one in beside]


def parse_row(layout: Layout, value: Any) -> Parsed:
    """A row with a column of turns and, in some formats, a column with a system text."""
    row = mapping(value)
    turns, how = parse_turns(layout, row.get(layout.column))
    used = [layout.column]
    first_is_system = turns[0][0] == "system"
    if layout.system and isinstance(row.get(layout.system), str):
        used.append(layout.system)
        if row[layout.system]:
            turns.insert(0, ("system", row[layout.system]))
        else:
            how["blank"] = {layout.system: ""}
    if layout.system and first_is_system:
        how["place"] = "turn"
    return Parsed(said(*turns), keep(rest(row, used), layout.name, **how), tags(row))


def render_row(layout: Layout, sample: Sample) -> dict[str, Any]:
    """The row of a sample."""
    how = form(sample, layout.name)
    messages = sample.messages
    row: dict[str, Any] = dict(how.get("blank", {}))
    if layout.system and messages and messages[0].role == "system" and how.get("place") != "turn":
        row[layout.system], messages = messages[0].content, messages[1:]
    if not messages:
        raise refuse(sample, layout.name, "nobody speaks")
    return {layout.column: render_turns(layout, sample, messages), **row, **columns(sample)}


def _has_turns(layout: Layout, row: Fields) -> bool:
    turns = row.get(layout.column)
    if not isinstance(turns, list) or not turns or {"chosen", "rejected"} & row.keys():
        return False
    return isinstance(turns[0], Mapping) and {layout.role, layout.text} <= turns[0].keys()


def conversation(layout: Layout) -> Format:
    """The format of rows with a column of turns."""
    return row_format(layout.name, partial(_has_turns, layout), partial(parse_row, layout), partial(render_row, layout))


# --- a file that is one list of turns, or rows that are lists -------------------------------------------------------
ROLES = Layout("roles", "the dialogue", "role", "content", "client", "counselor")


def read_roles(rows: Iterable[Row | Bad], source: Source) -> Iterator[Record | Bad]:
    """A file whose rows are the turns of one dialogue, or whose rows are lists of turns, a dialogue each.

    A turn that cannot be read makes the whole dialogue Bad: what was said next would answer nothing.
    """
    turns: list[Any] = []
    number, where = 0, ""
    for row in rows:
        if isinstance(row, Bad):
            yield row
        elif isinstance(row.value, list):
            number += 1
            yield _dialogue(row.value, row.where, source, number)
        else:
            where = where or row.where
            turns.append(row.value)
    if turns:
        yield _dialogue(turns, where, source, number + 1)


def _dialogue(turns: list[Any], where: str, source: Source, number: int) -> Record | Bad:
    try:
        found, how = parse_turns(ROLES, turns)
        return build(Parsed(said(*found), keep({}, "roles", **how), group=source.name), source, str(number))
    except Unfit as reason:
        return Bad(where, str(reason))


def write_roles(records: Iterable[Record]) -> Iterator[Any]:
    """The turns of a dialogue when it is the only one; a list of turns for each of several."""
    lists = (_turns_of(as_sample(record, "roles")) for record in records)
    ahead = list(islice(lists, 2))
    yield from ahead[0] if len(ahead) == 1 else chain(ahead, lists)


def _turns_of(sample: Sample) -> list[dict[str, Any]]:
    return render_turns(ROLES, sample, sample.messages)


def _fits_roles(rows: Sequence[Row]) -> bool:
    def turn(value: Any) -> bool:
        return isinstance(value, Mapping) and {"role", "content"} <= value.keys() and value["role"] in SPEAKERS

    return most(rows, lambda value: turn(value) or (isinstance(value, list) and bool(value) and turn(value[0])))


SHAREGPT = Layout("sharegpt", "conversations", "from", "value", "human", "gpt", system="system")
MESSAGES = Layout("messages", "messages", "role", "content", "user", "assistant")
DISC = Layout("disc", "conversation", "role", "content", "user", "assistant")
SESSION = Layout("remedi-session", "dialogues", "role", "sentence", "patient", "doctor", merge=True)
FORMATS: tuple[Format, ...] = (
    *map(conversation, (SHAREGPT, MESSAGES, DISC, SESSION)),
    conversation(Layout("sharegpt-roles", "conversations", "role", "content", "user", "assistant")),
    Format("roles", Sample, _fits_roles, read_roles, write_roles),
)
"""Conversations as lists of turns."""
