"""A conversation in the terminal: answers stream, citations stand beneath them, Ctrl-C stops an answer."""

from __future__ import annotations

import sys
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.panel import Panel

from xinglin.errors import MedError
from xinglin.serve.cautious import Cautious, careful
from xinglin.serve.disclaimer import AI_LABEL, SHORT, ZH, has_consent, remember_consent
from xinglin.serve.need import LONGEST
from xinglin.serve.triage import triage
from xinglin.serve.wire import DEFAULT_TOKENS, title
from xinglin.types import ChatModel, Message, Reply, Sampling

KEPT_MESSAGES = 20
_KINDS = {"summary": "自写概要，未经医师审核", "record": "真实记录"}
_UNVERIFIED = "以上是模型自己的话，未经知识库核对 (unverified model text)"
_HELP = """/sources  显示上一个回答所引的段落 (show the cited passages)
/clear    清空对话，重新开始 (start over)
/exit     结束 (leave)；也可以按 Ctrl-D
Ctrl-C    停止正在生成的回答 (stop the answer)"""


@dataclass(slots=True)
class _Talk:
    """One terminal conversation: where answers go (`out`), where notes go, and what was said."""

    model: ChatModel
    out: Console
    notes: Console
    sampling: Sampling
    messages: list[Message]
    last: Reply | None = None


def chat(
    model: ChatModel,
    *,
    accepted: bool = False,
    source: TextIO | None = None,
    out: Console | None = None,
    notes: Console | None = None,
    sampling: Sampling | None = None,
) -> None:
    """Talk with a model until /exit, Ctrl-D or the end of the input.

    On a terminal the disclaimer must be accepted once (`accepted` or a remembered consent skip the question).
    Piped input has no prompts: each line is a question, answers go to `out`, the disclaimer to `notes` (stderr).
    """
    lines = source or sys.stdin
    talk = _Talk(
        careful(model),
        out or Console(),
        notes or Console(stderr=True),
        sampling or Sampling(max_tokens=DEFAULT_TOKENS),
        [],
    )
    asking = lines.isatty()
    if not _consent(talk.notes, lines, asking=asking, accepted=accepted):
        talk.notes.print("未同意使用条款，已退出。 (terms not accepted)")
        return
    if asking:
        talk.notes.print(f"[green]{escape(model.name)}[/]  输入问题，/help 查看命令，/exit 结束。")
    for line in _questions(talk.notes, lines, asking=asking):
        text = line.strip()
        if text in ("/exit", "/quit"):
            return
        if text.startswith("/"):
            _command(talk, text)
        elif len(text) > LONGEST:
            talk.out.print(triage(text).advice, style="bold red", markup=False, highlight=False)
            talk.notes.print(f"问题超过{LONGEST}字，请缩短后再问。 (longer than {LONGEST} characters)", style="yellow")
        elif text:
            _turn(talk, text)


def _consent(notes: Console, lines: TextIO, *, asking: bool, accepted: bool) -> bool:
    if not asking:
        notes.print(f"{ZH.title}\n{ZH.text}", markup=False, highlight=False)
        return True
    if accepted or has_consent():
        notes.print(f"[dim]{SHORT}[/]", highlight=False)
        return True
    notes.print(Panel(escape(ZH.text), title=ZH.title, border_style="yellow", padding=(1, 2)), highlight=False)
    notes.print(f"{ZH.question}？输入 y 同意，其他键退出 (y = accept): ", end="")
    answer = lines.readline().strip().lower()
    if answer in ("y", "yes", "是", "同意"):
        remember_consent()
        return True
    return False


def _questions(notes: Console, lines: TextIO, *, asking: bool) -> Iterator[str]:
    """Lines of input; on a terminal behind a prompt and with line editing, ended by Ctrl-D or Ctrl-C."""
    while True:
        try:
            if lines is sys.stdin and asking:
                line = notes.input("\n[bold dark_orange]您[/] › ") + "\n"
            else:
                line = lines.readline()
        except (EOFError, KeyboardInterrupt):
            notes.print()
            return
        if not line:
            return
        yield line


def _command(talk: _Talk, text: str) -> None:
    if text == "/clear":
        talk.messages.clear()
        talk.last = None
        talk.notes.print("[dim]对话已清空。[/]")
    elif text == "/sources":
        _show_passages(talk)
    elif text == "/help":
        talk.notes.print(_HELP, markup=False, highlight=False)
    else:
        talk.notes.print(f"没有命令 {text[:40]}；可用命令：\n{_HELP}", markup=False, highlight=False)


def _turn(talk: _Talk, question: str) -> None:
    """Ask one question; an interrupted answer keeps what was already shown, a failed one is forgotten."""
    talk.messages.append(Message("user", question))
    try:
        text, talk.last = _speak(talk, triage(question).advice)
    except MedError as error:
        talk.messages.pop()
        talk.notes.print(f"\n[red]{escape(str(error))}[/]", highlight=False)
        return
    talk.messages.append(Message("assistant", text))
    del talk.messages[:-KEPT_MESSAGES]
    _show_sources(talk)


def _speak(talk: _Talk, advice: str) -> tuple[str, Reply | None]:
    """Print the answer as it comes, safety advice in red; returns its text and, unless interrupted, the Reply."""
    text, reply = "", None
    try:
        with closing(_split(talk.model.stream(tuple(talk.messages), talk.sampling), advice)) as pieces:
            for piece in pieces:
                if isinstance(piece, Reply):
                    reply = piece
                else:
                    style = "bold red" if len(text) < len(advice) else None
                    talk.out.print(piece, end="", style=style, markup=False, highlight=False, soft_wrap=True)
                    talk.out.file.flush()
                    text += piece
    except KeyboardInterrupt:
        talk.notes.print("\n[yellow]已停止。 (stopped)[/]", end="")
    talk.out.print()
    return text, reply


def _split(pieces: Iterable[str | Reply], advice: str) -> Generator[str | Reply, None, None]:
    """The same pieces, the first one cut where the advice ends, so that only the advice is red."""
    first = True
    for piece in pieces:
        if first and isinstance(piece, str) and advice and piece.startswith(advice):
            yield advice
            piece = piece[len(advice) :]
        first = False
        if not isinstance(piece, str) or piece:
            yield piece


def _show_sources(talk: _Talk) -> None:
    if talk.last is not None:
        for number, passage in enumerate(talk.last.passages, 1):
            origin = passage.origin
            parts = [origin.source, origin.item, origin.licence, _KINDS.get(origin.kind, origin.kind)]
            line = f"  [{number}] {title(passage)} — {' · '.join(part for part in parts if part)}"
            talk.out.print(line, style="dim", markup=False, highlight=False, soft_wrap=True)
    if _unverified(talk):
        talk.out.print(f"  {_UNVERIFIED}", style="dim", markup=False, highlight=False)
    talk.out.print(f"  {AI_LABEL}", style="dim", markup=False, highlight=False)


def _unverified(talk: _Talk) -> bool:
    """Whether the last answer holds words of a model that nobody checked; an interrupted one may."""
    if talk.last is None:
        return isinstance(talk.model, Cautious)
    return any(sentence.verdict == "unverified" for sentence in talk.last.sentences)


def _show_passages(talk: _Talk) -> None:
    passages = talk.last.passages if talk.last else ()
    if not passages:
        talk.notes.print("[dim]上一个回答没有引用段落。[/]")
    for number, passage in enumerate(passages, 1):
        talk.notes.print(f"[{number}] {passage.text}", markup=False, highlight=False)
