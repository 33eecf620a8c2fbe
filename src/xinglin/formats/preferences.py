"""Preferences: two answers to one prompt in every public shape, ranked answers, answers judged good or bad (KTO).

Answers that are equal when folded say nothing about which is better: such rows are Bad.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from xinglin.formats import judged
from xinglin.formats.labelled import Place, as_read, cannot, labelled_format, read_each, unknown, write_each
from xinglin.formats.row import Format
from xinglin.formats.samples import Fields, Unfit, cut, exchange, join, keep, mapping, rest, said, text
from xinglin.formats.turning import read_answer, read_turns, write_answer, write_turns
from xinglin.text import fold
from xinglin.types import Message, Preference, Ranking, Role, make_id

Turns = Sequence[tuple[Role, str]]
_HH = re.compile(r"\n\n(Human|Assistant):")


def _preference(
    prompt: tuple[Message, ...], chosen: str, rejected: str, *, place: Place, extra: dict[str, Any]
) -> Preference:
    """The Preference; its id is a hash of prompt and answers."""
    if not chosen.strip() or not rejected.strip():
        raise Unfit(f"{'rejected' if chosen.strip() else 'chosen'} is empty")
    if fold(chosen) == fold(rejected):
        raise Unfit("chosen and rejected are the same")
    asked = [(message.role, message.content) for message in prompt]
    return Preference(
        make_id("preference", asked, chosen, rejected), prompt, chosen, rejected, place.origin(), extra=extra
    )


def _written_both(record: Preference, how: Mapping[str, Any]) -> dict[str, Any]:
    pair = {"chosen": record.chosen, "rejected": record.rejected}
    return {column: write_answer(answer, how.get(column)) for column, answer in pair.items()}


# --- one text as the prompt -----------------------------------------------------------------------------------------
def _read_prompt(row: Fields, question: str) -> tuple[tuple[Message, ...], dict[str, Any], tuple[str, ...]]:
    """The prompt of a row: the column `question`, with `input` after it, `system` and `history` before it; what is to
    be kept to write it again; and the columns that were used."""
    besides = ("system", "history", "input")
    turns: list[tuple[Role, str]] = []
    how: dict[str, Any] = {}
    if row.get("system"):
        turns.append(("system", text(row, "system")))
    for pair in row.get("history") or []:
        if not (isinstance(pair, list) and len(pair) == 2 and all(isinstance(one, str) for one in pair)):
            raise Unfit("history is not a list of [question, answer] pairs")
        turns += exchange(pair[0], pair[1])
    asked = text(row, question)
    if row.get("input"):
        asked, how["cut"] = join(asked, text(row, "input"))
    if not asked.strip():
        raise Unfit(f"{question} is empty")
    blank = {column: row[column] for column in besides if column in row and not row[column]}
    if blank != _usual(question, how):
        how["blank"] = [blank]
    turns.append(("user", asked))
    return said(*turns), how, (question, *besides)


def _usual(question: str, how: Mapping[str, Any]) -> dict[str, Any]:
    """The columns that stay empty where nothing else is known: Alpaca rows have an `input`."""
    return {"input": ""} if question == "instruction" and "cut" not in how else {}


def _written_prompt(record: Preference | Ranking, name: str, question: str) -> dict[str, Any]:
    """The columns of the prompt, as they were read where nothing has changed since."""
    how = as_read(record, name)
    turns = list(record.prompt)
    before = {"system": turns.pop(0).content} if turns and turns[0].role == "system" else {}
    roles = [turn.role for turn in turns]
    if len(turns) % 2 == 0 or roles != ["user", "assistant"] * (len(turns) // 2) + ["user"]:
        raise cannot(record, name, "user and assistant must alternate in the prompt, the user last")
    said_ = [turn.content for turn in turns]
    history = [list(pair) for pair in zip(said_[:-1:2], said_[1::2], strict=True)]
    parts = cut(said_[-1], how["cut"]) if "cut" in how else None
    row: dict[str, Any] = {question: parts[0] if parts else said_[-1]}
    row |= {"input": parts[1]} if parts else how.get("blank", [_usual(question, {})])[0]
    return {**row, **before, **({"history": history} if history else {})}


def parse_asked_pair(name: str, names: tuple[str, str, str], value: Any, place: Place) -> Preference:
    """A prompt in the column `names[0]` (see _read_prompt), and two answers in the columns `names[1:]`, each a text, a
    turn, or a list of one turn."""
    row = mapping(value)
    question, better, worse = names
    prompt, how, used = _read_prompt(row, question)
    chosen, of_chosen = read_answer(row.get(better), better)
    rejected, of_rejected = read_answer(row.get(worse), worse)
    extra = keep(rest(row, (*used, better, worse)), name, **how, chosen=of_chosen, rejected=of_rejected)
    return _preference(prompt, chosen, rejected, place=place, extra=extra)


def render_asked_pair(name: str, names: tuple[str, str, str], record: Preference) -> dict[str, Any]:
    """The row of a Preference."""
    chosen, rejected = _written_both(record, as_read(record, name)).values()
    answers = {names[1]: chosen, names[2]: rejected}
    return {**_written_prompt(record, name, names[0]), **answers, **unknown(record)}


def _asked_pair(name: str, names: tuple[str, str, str]) -> Format:
    def fits(row: Fields) -> bool:
        return set(names) <= row.keys() and isinstance(row[names[0]], str) and not _is_turns(row[names[1]], 2)

    return labelled_format(
        name, Preference, fits, partial(parse_asked_pair, name, names), partial(render_asked_pair, name, names)
    )


def _is_turns(value: Any, least: int = 1) -> bool:
    return isinstance(value, list) and len(value) >= least and isinstance(value[0], Mapping)


# --- a conversation as the prompt -----------------------------------------------------------------------------------
def parse_turned_pair(name: str, column: str, value: Any, place: Place) -> Preference:
    """`{"conversations": [...], "chosen", "rejected"}`, or another column of turns; a `system` column comes first."""
    row = mapping(value)
    turns, how = read_turns(row.get(column), column)
    used = [column, "chosen", "rejected"]
    if isinstance(row.get("system"), str) and row["system"]:
        used.append("system")
        turns.insert(0, ("system", row["system"]))
        how["system"] = True
    chosen, of_chosen = read_answer(row.get("chosen"), "chosen")
    rejected, of_rejected = read_answer(row.get("rejected"), "rejected")
    extra = keep(rest(row, used), name, turns=how, chosen=of_chosen, rejected=of_rejected)
    return _preference(said(*turns), chosen, rejected, place=place, extra=extra)


def render_turned_pair(name: str, column: str, record: Preference) -> dict[str, Any]:
    """The row of a Preference."""
    how = as_read(record, name)
    turns = dict(how.get("turns", {"from": column == "conversations"}))
    prompt, system = record.prompt, {}
    if turns.pop("system", False) and prompt and prompt[0].role == "system":
        system, prompt = {"system": prompt[0].content}, prompt[1:]
    return {column: write_turns(prompt, turns), **system, **_written_both(record, how), **unknown(record)}


def _turned_pair(name: str, column: str) -> Format:
    def fits(row: Fields) -> bool:
        return {"chosen", "rejected"} <= row.keys() and _is_turns(row.get(column)) and not _is_turns(row["chosen"], 2)

    return labelled_format(
        name, Preference, fits, partial(parse_turned_pair, name, column), partial(render_turned_pair, name, column)
    )


# --- two whole conversations that share their beginning -------------------------------------------------------------
def parse_whole_pair(value: Any, place: Place) -> Preference:
    """`{"chosen": [turns], "rejected": [turns]}` (TRL): equal but for the last turn, the assistant's. A `prompt` beside
    them (UltraFeedback) repeats the beginning and is kept as it is."""
    row = mapping(value)
    chosen, of_chosen = read_turns(row.get("chosen"), "chosen")
    rejected, of_rejected = read_turns(row.get("rejected"), "rejected")
    extra = keep(rest(row, ("chosen", "rejected")), "whole-pair", chosen=of_chosen, rejected=of_rejected)
    return _forked(chosen, rejected, place, extra)


def _forked(chosen: Turns, rejected: Turns, place: Place, extra: dict[str, Any]) -> Preference:
    if chosen[:-1] != rejected[:-1]:
        raise Unfit("chosen and rejected do not share the conversation before the answer")
    if len(chosen) < 2 or {chosen[-1][0], rejected[-1][0]} != {"assistant"}:
        raise Unfit("chosen or rejected does not end with an answer of the assistant after a prompt")
    return _preference(said(*chosen[:-1]), chosen[-1][1], rejected[-1][1], place=place, extra=extra)


def render_whole_pair(record: Preference) -> dict[str, Any]:
    """The row of a Preference."""
    how = as_read(record, "whole-pair")
    row = {}
    for column, answer in (("chosen", record.chosen), ("rejected", record.rejected)):
        row[column] = write_turns((*record.prompt, Message("assistant", answer)), how.get(column, {}))
    return {**row, **unknown(record)}


# --- HH: whole conversations in one text ----------------------------------------------------------------------------
def parse_marked_pair(value: Any, place: Place) -> Preference:
    r"""`{"chosen": "\n\nHuman: … \n\nAssistant: …", "rejected": …}` (Anthropic HH): equal but for the last answer."""
    row = mapping(value)
    chosen = _marked(text(row, "chosen"), "chosen")
    rejected = _marked(text(row, "rejected"), "rejected")
    extra = rest(row, ("chosen", "rejected"))
    return _forked(chosen, rejected, place, extra)


def _marked(whole: str, column: str) -> list[tuple[Role, str]]:
    before, *pieces = _HH.split(whole)
    if before or not pieces or not all(content.startswith(" ") for content in pieces[1::2]):
        raise Unfit(f"{column} is no conversation of Human: and Assistant:")
    roles: list[Role] = ["assistant" if mark == "Assistant" else "user" for mark in pieces[::2]]
    return list(zip(roles, (content[1:] for content in pieces[1::2]), strict=True))


def render_marked_pair(record: Preference) -> dict[str, Any]:
    """The row of a Preference."""
    if any(message.role == "system" or _HH.search(message.content) for message in record.prompt):
        raise cannot(record, "hh", "it has no system message, and no text that holds its own marks")
    if _HH.search(record.chosen) or _HH.search(record.rejected):
        raise cannot(record, "hh", "an answer holds its marks")
    marks = {"user": "Human", "assistant": "Assistant"}
    asked = "".join(f"\n\n{marks[message.role]}: {message.content}" for message in record.prompt)
    answers = {"chosen": record.chosen, "rejected": record.rejected}
    return {**{key: f"{asked}\n\nAssistant: {one}" for key, one in answers.items()}, **unknown(record)}


def _is_marked(row: Fields) -> bool:
    pair = (row.get("chosen"), row.get("rejected"))
    return all(isinstance(one, str) and one.startswith("\n\nHuman:") for one in pair)


# --- ranked answers -------------------------------------------------------------------------------------------------
def parse_ranked(value: Any, place: Place) -> Ranking:
    """`{"instruction", "input", "output": [best, …, worst]}` with at least two answers that differ."""
    row = mapping(value)
    answers = row.get("output")
    if not isinstance(answers, list) or not all(isinstance(one, str) and one.strip() for one in answers):
        raise Unfit("output is not a list of texts")
    if len(answers) < 2 or len(set(map(fold, answers))) < len(answers):
        raise Unfit("output has one answer" if len(answers) < 2 else "two of the ranked answers are the same")
    prompt, how, used = _read_prompt(row, "instruction")
    extra = keep(rest(row, (*used, "output")), "ranked", **how)
    identity = make_id("ranking", [(message.role, message.content) for message in prompt], answers)
    order = tuple(range(len(answers)))
    return Ranking(identity, prompt, tuple(answers), order, "given", place.origin(), extra=extra)


def render_ranked(ranking: Ranking) -> dict[str, Any]:
    """The row of a Ranking, its answers from best to worst."""
    if sorted(ranking.order) != list(range(len(ranking.answers))) or len(ranking.answers) < 2:
        raise cannot(ranking, "ranked", "its order does not name every answer once, or there is one answer")
    prompt = _written_prompt(ranking, "ranked", "instruction")
    return {**prompt, "output": [ranking.answers[at] for at in ranking.order], **unknown(ranking)}


def _is_ranked(row: Fields) -> bool:
    output = row.get("output")
    return "instruction" in row and isinstance(output, list) and len(output) > 1


# --- two answers of which one was adopted ---------------------------------------------------------------------------
def parse_adopted(value: Any, place: Place) -> Preference:
    """`question, answer_1, answer_2, adopted_1, adopted_2` (ChiMed): the adopted answer is chosen. Where both or none
    are adopted there is no preference."""
    row = mapping(value)
    flags = [row.get(f"adopted_{at}") for at in (1, 2)]
    adopted = [str(flag).strip().lower() in ("true", "1") for flag in flags]
    if sum(adopted) != 1:
        raise Unfit("both answers are adopted" if all(adopted) else "no answer is adopted")
    answers = [text(row, f"answer_{at}") for at in (1, 2)]
    asked = said(("user", text(row, "question")))
    extra = rest(row, ("question", *(f"{name}_{at}" for name in ("answer", "adopted") for at in (1, 2))))
    if flags != ["true", "false"]:
        extra = keep(extra, "adopted", flags=flags)
    chosen, rejected = answers if adopted[0] else answers[::-1]
    return _preference(asked, chosen, rejected, place=place, extra=extra)


def render_adopted(record: Preference) -> dict[str, Any]:
    """The row of a Preference."""
    if [message.role for message in record.prompt] != ["user"]:
        raise cannot(record, "adopted", "it holds one question of the user")
    flags = as_read(record, "adopted").get("flags", ["true", "false"])
    first = str(flags[0]).strip().lower() in ("true", "1")
    answers = (record.chosen, record.rejected) if first else (record.rejected, record.chosen)
    row: dict[str, Any] = {"question": record.prompt[0].content}
    for at, (answer, flag) in enumerate(zip(answers, flags, strict=True), 1):
        row |= {f"answer_{at}": answer, f"adopted_{at}": flag}
    return {**row, **unknown(record)}


FORMATS: tuple[Format, ...] = (
    *judged.FORMATS,
    labelled_format("ranked", Ranking, _is_ranked, parse_ranked, render_ranked),
    labelled_format(
        "whole-pair",
        Preference,
        lambda row: all(_is_turns(row.get(column), 2) for column in ("chosen", "rejected")),
        parse_whole_pair,
        render_whole_pair,
    ),
    labelled_format("hh", Preference, _is_marked, parse_marked_pair, render_marked_pair),
    _turned_pair("sharegpt-pair", "conversations"),
    _turned_pair("messages-pair", "messages"),
    _turned_pair("prompt-turns-pair", "prompt"),
    _asked_pair("alpaca-pair", ("instruction", "chosen", "rejected")),
    _asked_pair("response-pair", ("question", "response_chosen", "response_rejected")),
    _asked_pair("question-pair", ("question", "chosen", "rejected")),
    _asked_pair("prompt-pair", ("prompt", "chosen", "rejected")),
    # Never found by content: a file of two answers is a corpus of dialogues, which keeps both.
    Format(
        "adopted",
        Preference,
        lambda rows: False,
        read_each(parse_adopted),
        write_each("adopted", Preference, render_adopted),
    ),
)
"""Preferences and rankings."""
