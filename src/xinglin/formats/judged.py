"""Single answers judged good or bad (KTO): Samples with the tag `kto:good` or `kto:bad`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from xinglin.formats.conversations import MESSAGES, SHAREGPT, parse_row, render_row
from xinglin.formats.dialogues import parse_alpaca, render_alpaca
from xinglin.formats.labelled import Place, as_read, cannot, labelled_format, unknown
from xinglin.formats.row import Format
from xinglin.formats.samples import Fields, Parsed, Unfit, build, keep, mapping, rest, said
from xinglin.formats.turning import read_answer, read_turns, write_answer, write_turns
from xinglin.types import BAD_ANSWER, GOOD_ANSWER, Sample

_WORDS = {"true": True, "false": False, "1": True, "0": False}


def parse_judged(name: str, column: str, parse: Callable[[Any], Parsed], value: Any, place: Place) -> Sample:
    """A row of another format with a column that says whether its answer is good: true or false, as such or a text."""
    row = mapping(value)
    flag = row.get(column)
    good = _WORDS.get(str(flag).strip().lower())
    if good is None:
        raise Unfit(f"{column} is neither true nor false but {flag!r}"[:100])
    parsed = parse(rest(row, (column,)))
    # A flag that is not a plain true or false stands in its own column, from which it is written again.
    kept = {} if flag is good else {column: flag}
    parsed.extra = {**parsed.extra, **kept}
    parsed.tags = (*parsed.tags, GOOD_ANSWER if good else BAD_ANSWER)
    return build(parsed, place.source, str(place.number))


def render_judged(name: str, column: str, render: Callable[[Sample], dict[str, Any]], sample: Sample) -> dict[str, Any]:
    """The row of a sample that was judged."""
    if (GOOD_ANSWER in sample.tags) == (BAD_ANSWER in sample.tags):
        raise cannot(sample, name, f"it needs one of the tags {GOOD_ANSWER} and {BAD_ANSWER}")
    good = GOOD_ANSWER in sample.tags
    flag = sample.extra.get(column)
    kept = flag if flag is not None and _WORDS.get(str(flag).strip().lower()) == good else good
    return {**render(replace(sample, extra=rest(sample.extra, (column,)))), column: kept}


def _judged(
    name: str,
    column: str,
    test: Callable[[Fields], bool],
    parse: Callable[[Any], Parsed],
    render: Callable[[Sample], dict[str, Any]],
) -> Format:
    def fits(row: Fields) -> bool:
        return str(row.get(column)).strip().lower() in _WORDS and test(row)

    return labelled_format(
        name, Sample, fits, partial(parse_judged, name, column, parse), partial(render_judged, name, column, render)
    )


def parse_completion(value: Any) -> Parsed:
    """`{"prompt", "completion"}` (TRL): each a text or a list of turns."""
    row = mapping(value)
    prompt, of_prompt = row.get("prompt"), None
    if isinstance(prompt, str):
        turns = [*said(("user", prompt))]
    else:
        found, of_prompt = read_turns(prompt, "prompt")
        turns = [*said(*found)]
    answer, of_answer = read_answer(row.get("completion"), "completion")
    turns += said(("assistant", answer))
    extra = keep(rest(row, ("prompt", "completion")), "kto-completion", prompt=of_prompt, completion=of_answer)
    return Parsed(tuple(turns), extra)


def render_completion(sample: Sample) -> dict[str, Any]:
    """The row of a sample."""
    how = as_read(sample, "kto-completion")
    *before, answer = sample.messages
    if answer.role != "assistant" or not before:
        raise cannot(sample, "kto-completion", "it must end with an answer after a prompt")
    plain = "prompt" not in how and [turn.role for turn in before] == ["user"]
    prompt = before[0].content if plain else write_turns(before, how.get("prompt", {}))
    return {"prompt": prompt, "completion": write_answer(answer.content, how.get("completion")), **unknown(sample)}


FORMATS: tuple[Format, ...] = (
    _judged("kto", "kto_tag", lambda row: "instruction" in row, parse_alpaca, render_alpaca),
    _judged(
        "kto-messages",
        "kto_tag",
        lambda row: "messages" in row,
        partial(parse_row, MESSAGES),
        partial(render_row, MESSAGES),
    ),
    _judged(
        "kto-sharegpt",
        "kto_tag",
        lambda row: "conversations" in row,
        partial(parse_row, SHAREGPT),
        partial(render_row, SHAREGPT),
    ),
    _judged(
        "kto-completion",
        "label",
        lambda row: {"prompt", "completion"} <= row.keys(),
        parse_completion,
        render_completion,
    ),
)
"""Answers judged one by one."""
