"""The parts of the page that repeat: turns, answers, chips, buttons."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from nicegui import ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from xinglin.serve.web import icons
from xinglin.serve.web.clean import clean
from xinglin.serve.web.markup import answer_html, plain_html, sources_html
from xinglin.serve.web.threads import Turn
from xinglin.serve.web.words import Words
from xinglin.types import Passage, Reply

Ask = Callable[[str], Awaitable[None]]
Cite = Callable[[Sequence[Passage], int], None]

_PICK_CITE = "(e) => { const b = e.target.closest('[data-cite]'); if (b) emit(Number(b.dataset.cite)); }"
_DOTS = '<span class="dots" aria-hidden="true"><i></i><i></i><i></i></span>'


def html(content: str, *, tag: str = "div", classes: str = "") -> ui.html:
    """Markup written by this package, its texts already escaped."""
    return ui.html(content, sanitize=False, tag=tag).classes(classes)


def button(content: str, *, classes: str, label: str = "") -> ui.html:
    """A real button element with our own look."""
    made = html(content, tag="button", classes=classes)
    made.props["type"] = "button"
    if label:
        made.props["aria-label"] = made.props["title"] = label
    return made


def clock(seconds: float, offset: int) -> str:
    """HH:MM:SS of a Unix time in the browser's zone; `offset` is JavaScript's minutes behind UTC."""
    return (datetime.fromtimestamp(seconds, UTC) - timedelta(minutes=offset)).strftime("%H:%M:%S")


def chips(questions: Sequence[str], title: str, ask: Ask) -> Element | None:
    """A row of questions to click."""
    if not questions:
        return None
    with ui.element("div").classes("chips") as row:
        ui.label(title).classes("chips-title")
        for question in questions:
            made = ui.element("button").props("type=button").classes("chip")
            with made:
                ui.label(question)
            made.on("click", lambda _, text=question: ask(text))
    return row


class TurnView:
    """One turn on the page: name, time, text; for an answer also its sources, label and copy button."""

    def __init__(self, turn: Turn, words: Words, *, offset: int, cite: Cite) -> None:
        self.turn = turn
        self.words = words
        self._cite = cite
        mine = turn.role == "user"
        with ui.element("div").classes(f"turn {turn.role}") as self.box:
            if not mine:
                html(icons.LOGO, classes="avatar")
            with ui.element("div").classes("column-text"):
                with ui.element("div").classes("meta"):
                    ui.label(words.you if mine else words.assistant).classes("name")
                    ui.label(clock(turn.time, offset)).classes("time")
                self.body = ui.element("div").classes("bubble")
                self.foot = ui.element("div").classes("foot")
        self._live: ui.html | None = None
        if mine:
            with self.body:
                html(plain_html(turn.text))
        elif turn.state == "running":
            with self.body:
                self._live = html("", classes="live")
            self.progress(words.thinking)
        else:
            self.finish()

    def progress(self, note: str) -> None:
        """Show what was said so far, and what is going on."""
        if self._live is not None:
            self._live.set_content(
                f'{plain_html(self.turn.text)}<p class="going-on" role="status">{_DOTS}{plain_html(note)[3:-4]}</p>'
            )

    def finish(self) -> None:
        """Replace the running text by the finished answer with its marks, sources and label."""
        self.body.clear()
        self.foot.clear()
        reply = self.turn.reply
        with self.body:
            if self.turn.state == "failed":
                html(plain_html(self.turn.text), classes="failure")
                return
            if not self.turn.checked:
                self._unchecked(reply)
            elif reply is None:
                html(plain_html(self.turn.text))
            else:
                self._clickable(html(answer_html(reply, self.words), classes="answer"), reply)
        with self.foot:
            self._footer(reply)

    def _unchecked(self, reply: Reply | None) -> None:
        """The words of a bare model as cleaned Markdown, under a mark that nobody checked them."""
        notices = tuple(sentence for sentence in reply.sentences if sentence.source == "system") if reply else ()
        said = self.turn.text[notices[-1].end :].lstrip("\n") if notices else self.turn.text
        if reply is not None and notices:
            html(answer_html(replace(reply, sentences=notices), self.words), classes="answer")
        if said.strip():
            with ui.element("section").classes("said raw"):
                ui.label(self.words.by_model_raw).classes("who")
                ui.markdown(said, sanitize=clean).classes("markdown")

    def _footer(self, reply: Reply | None) -> None:
        if reply is not None and reply.passages:
            self._clickable(html(sources_html(reply.passages, self.words), classes="sources"), reply)
        with ui.element("div").classes("label-row"):
            ui.label(self.words.ai_label).classes("ai-label")
            for note in self._notes(reply):
                ui.label(note).classes("note")
            copy = button(icons.COPY, classes="icon-button small", label=self.words.copy)
            text = json.dumps(f"{self.turn.text}\n\n{self.words.ai_label}", ensure_ascii=False)
            done = json.dumps(icons.CHECK)
            copy.on(
                "click",
                js_handler=f"(e) => {{ const b = e.currentTarget, old = b.innerHTML; xinglin.copy({text}); "
                f"b.innerHTML = {done}; setTimeout(() => b.innerHTML = old, 1200); }}",
            )

    def _notes(self, reply: Reply | None) -> list[str]:
        notes = []
        if self.turn.state == "stopped":
            notes.append(self.words.stopped)
        if reply is not None and reply.finish == "length":
            notes.append(self.words.cut)
        if reply is not None and reply.finish == "loop":
            notes.append(self.words.looped)
        if reply is not None and reply.seconds >= 0.1:
            notes.append(self.words.seconds.format(n=f"{reply.seconds:.1f}"))
        return notes

    def _clickable(self, element: ui.html, reply: Reply) -> None:
        def clicked(event: GenericEventArguments) -> None:
            self._cite(reply.passages, int(event.args))

        element.on("click", clicked, js_handler=_PICK_CITE)
