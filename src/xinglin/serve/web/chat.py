"""The chat page at `/`: one page per browser tab over the models and the line of the API."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Literal

from fastapi import FastAPI, Request
from nicegui import Client, ui
from nicegui.element import Element
from nicegui.events import GenericEventArguments

from xinglin.errors import MedError
from xinglin.serve.assistant import Assistant
from xinglin.serve.disclaimer import VERSION
from xinglin.serve.need import LONGEST
from xinglin.serve.turns import Busy, Turns
from xinglin.serve.web import icons
from xinglin.serve.web.markup import evidence_html, licences_html, marks_html, paragraphs, terms_html
from xinglin.serve.web.threads import Thread, Threads, Turn
from xinglin.serve.web.view import TurnView, button, chips, clock, html
from xinglin.serve.web.words import ZH, Words, words
from xinglin.serve.wire import DEFAULT_TOKENS
from xinglin.types import ChatModel, Passage, Reply, Sampling

log = logging.getLogger(__name__)
_HERE = Path(__file__).parent
_ENTER = (
    "(e) => { if (e.key !== 'Enter' || e.shiftKey || e.isComposing || e.keyCode === 229) return; "
    "e.preventDefault(); if (e.target.value.trim()) emit(e.target.value); }"
)
_CLICK_SEND = "() => { const t = document.getElementById('ask').value; if (t.trim()) emit(t); }"


@dataclass(frozen=True, slots=True)
class Desk:
    """What all pages of the process share."""

    models: dict[str, ChatModel]
    turns: Turns
    threads: Threads = field(default_factory=Threads)


def page(app: FastAPI, models: Sequence[ChatModel], turns: Turns) -> None:
    """Put the chat page on the app; NiceGUI keeps its pages per process, so mount once."""
    desk = Desk({model.name: model for model in models}, turns)

    @ui.page("/", title="杏林 Xinglin", response_timeout=10)
    async def index(request: Request) -> None:
        await _open(desk, request, ui.context.client)

    ui.run_with(
        app,
        title="杏林 Xinglin",
        favicon=icons.LOGO,
        language="zh-CN",
        tailwind=False,
        reconnect_timeout=30,
        show_welcome_message=False,
    )


async def _open(desk: Desk, request: Request, client: Client) -> None:
    accepted = request.cookies.get("xinglin_consent") == str(VERSION)
    visit = ChatPage(desk, words(request.cookies.get("xinglin_lang", "zh")), client, accepted=accepted)
    visit.build()
    await client.connected()
    if client.tab_id is not None:
        offset = await client.run_javascript("return new Date().getTimezoneOffset()", timeout=10)
        visit.attach(client.tab_id, int(offset or 0))


class ChatPage:
    """The page of one tab."""

    def __init__(self, desk: Desk, labels: Words, client: Client, *, accepted: bool) -> None:
        self.desk = desk
        self.words = labels
        self.client = client
        self.accepted = accepted
        self.model = next(iter(desk.models.values()))
        self.thread = Thread()
        self.tab = ""
        self.offset = 0
        self.task: asyncio.Task[None] | None = None
        self.chips: Element | None = None

    # Building

    def build(self) -> None:
        """Everything but the conversation, which waits for the tab to say which one it is."""
        ui.add_head_html(f"<style>{(_HERE / 'style.css').read_text(encoding='utf-8')}</style>")
        ui.add_head_html(f"<script>{(_HERE / 'page.js').read_text(encoding='utf-8')}</script>")
        self._build_top()
        with ui.element("main").props("id=scroll").classes("scroll") as self.chat:
            self.list = ui.element("div").classes("thread").props("id=thread role=log aria-live=polite")
        with ui.element("main").classes("scroll hidden") as self.readme:
            self._build_readme()
        self._build_composer()
        self._build_drawer()
        self._build_dialogs()
        self.client.on_delete(self._leave)

    def _build_top(self) -> None:
        w = self.words
        with ui.element("header").classes("top"):
            html(f"{icons.LOGO}<b>杏林</b><span>Xinglin</span>", classes="brand")
            with ui.element("nav").classes("tabs"):
                self.chat_tab = button(w.chat, classes="tab on").on("click", lambda: self._show(readme=False))
                self.readme_tab = button(w.readme, classes="tab").on("click", lambda: self._show(readme=True))
            ui.element("div").classes("gap")
            if len(self.desk.models) > 1:
                self._build_choice()
            new = button(f"{icons.PLUS}<span>{w.new_chat}</span>", classes="outlined", label=w.new_chat)
            new.on("click", self._ask_new)
            code = "en" if self.words is ZH else "zh"
            switch = button(w.other_language, classes="icon-button", label="中文 / English")
            switch.on("click", js_handler=f"() => xinglin.language('{code}')")
            theme = button(icons.THEME, classes="icon-button", label=w.theme)
            theme.on("click", js_handler="() => xinglin.toggleTheme()")

    def _build_choice(self) -> None:
        options = "".join(f'<option value="{escape(name)}">{escape(name)}</option>' for name in self.desk.models)
        choice = html(options, tag="select", classes="choice")
        choice.props["aria-label"] = "model"
        choice.on("change", self._choose, js_handler="(e) => emit(e.target.value)")

    def _build_readme(self) -> None:
        w = self.words
        with ui.element("article").classes("readme"):
            html(f"{icons.LOGO}<h1>杏林 Xinglin</h1>", classes="readme-head")
            html(paragraphs(w.about))
            html(f"<h2>{escape(w.marks_title)}</h2>{marks_html(w)}")
            html(f"<h2>{escape(w.terms_title)}</h2>{terms_html(w)}")
            if isinstance(self.model, Assistant):
                html(f"<h2>{escape(w.knowledge_title)}</h2>{licences_html(self.model.sources, w)}")

    def _build_composer(self) -> None:
        w = self.words
        with ui.element("footer").classes("composer") as self.composer:
            with ui.element("div").classes("box"):
                self.input = ui.element("textarea").props("id=ask rows=1").classes("ask")
                self.input.props["maxlength"] = LONGEST
                self.input.props["aria-label"] = w.placeholder
                self.input.on("input", js_handler="(e) => xinglin.grow(e.target)")
                self.input.on("keydown", self._sent, js_handler=_ENTER)
                expand = button(icons.EXPAND, classes="icon-button expand", label=w.expand)
                expand.on("click", js_handler="(e) => e.currentTarget.closest('.box').classList.toggle('tall')")
                send = button(icons.SEND, classes="round send", label=w.send)
                send.on("click", self._sent, js_handler=_CLICK_SEND)
                button(icons.STOP, classes="round stop", label=w.stop).on("click", self._stop)
            with ui.element("div").classes("lock"):
                button(escape(w.locked), classes="unlock").on("click", lambda: self.terms.open())
            ui.label(f"{w.ai_label} · {w.short}").classes("small-print")
        self._lock()

    def _build_drawer(self) -> None:
        w = self.words
        with ui.element("aside").classes("drawer").props("id=drawer") as self.drawer:
            self.drawer.props["aria-label"] = w.sources
            with ui.element("div").classes("drawer-head"):
                ui.label(w.sources).classes("drawer-title")
                close = button(icons.CLOSE, classes="icon-button", label=w.close)
                close.props["id"] = "drawer-close"
                close.on("click", self._close_drawer)
            self.evidence = html("", classes="evidence")

    def _build_dialogs(self) -> None:
        w = self.words
        with ui.dialog().props("persistent") as self.terms, ui.element("div").classes("dialog terms-dialog"):
            html(f"{icons.WARNING}<h2>{escape(w.terms.title)}</h2>", classes="dialog-head")
            html(terms_html(w))
            with ui.element("div").classes("dialog-foot"):
                button(escape(w.refuse), classes="plain").on("click", self.terms.close)
                accept = button(escape(w.accept), classes="filled")
                accept.on("click", self._accept, js_handler=f"() => {{ xinglin.accept({VERSION}); emit(); }}")
        with ui.dialog() as self.renew, ui.element("div").classes("dialog"):
            html(f"<h2>{escape(w.new_title)}</h2><p>{escape(w.new_body)}</p>", classes="dialog-body")
            with ui.element("div").classes("dialog-foot"):
                button(escape(w.cancel), classes="plain").on("click", self.renew.close)
                button(escape(w.confirm), classes="filled").on("click", self._renew)
        if not self.accepted:
            self.terms.open()

    # The conversation

    def attach(self, tab: str, offset: int) -> None:
        """Show the tab's conversation; an answer that an earlier load of this tab still waits for is stopped."""
        self.tab, self.offset = tab, offset
        self.thread = self.desk.threads.of(tab)
        self.thread.stop()
        self._redraw()

    def _redraw(self) -> None:
        self.list.clear()
        self.chips = None
        with self.list:
            self._greet()
            for turn in self.thread.turns:
                if turn.state == "running":
                    turn.state = "stopped"
                self._view(turn)
        if not self.thread.turns:
            self._suggest()
        language = "zh-CN" if self.words is ZH else "en"
        self.client.run_javascript(f"document.documentElement.lang = '{language}'; xinglin.bottom()")

    def _greet(self) -> None:
        w = self.words
        with ui.element("div").classes("turn assistant greeting"):
            html(icons.LOGO, classes="avatar")
            with ui.element("div").classes("column-text"):
                with ui.element("div").classes("meta"):
                    ui.label(w.assistant).classes("name")
                    ui.label(clock(self.thread.started, self.offset)).classes("time")
                html(f"<p>{escape(w.greeting)}</p>", classes="bubble")
                html(f"{icons.WARNING}<span>{escape(w.warning)}</span>", classes="warning")

    def _view(self, turn: Turn) -> TurnView:
        return TurnView(turn, self.words, offset=self.offset, cite=self._cite)

    def _suggest(self) -> None:
        """Questions to click: examples in an empty thread, afterwards what else is known of the entity."""
        if self.chips is not None:
            self.chips.delete()
            self.chips = None
        if not isinstance(self.model, Assistant):
            return
        messages = self.thread.messages()
        questions = self.model.follow_ups(messages) if messages else self.model.examples
        with self.list:
            self.chips = chips(questions, self.words.ask_next if messages else self.words.try_asking, self.ask)

    async def _sent(self, event: GenericEventArguments) -> None:
        await self.ask(str(event.args))

    async def ask(self, text: str) -> None:
        """Take a question and start answering; nothing happens while an answer is running."""
        text = text.strip()
        if not self.accepted:
            self.terms.open()
        elif len(text) > LONGEST:
            ui.notify(self.words.too_long.format(n=LONGEST), type="warning")
        elif text and not self.thread.running:
            self._show(readme=False)
            checked = isinstance(self.model, Assistant)
            self.thread.turns += [Turn("user", text), Turn("assistant", state="running", checked=checked)]
            if self.chips is not None:
                self.chips.delete()
                self.chips = None
            with self.list:
                self._view(self.thread.turns[-2])
                view = self._view(self.thread.turns[-1])
            self.composer.classes(add="busy")
            self.client.run_javascript("xinglin.clear()")
            self.task = self.thread.task = asyncio.create_task(self._answer(self.thread, view))

    async def _answer(self, thread: Thread, view: TurnView) -> None:
        """Fill the running turn; however it ends, the page is left ready for the next question."""
        turn = view.turn
        try:
            turn.state = await self._listen(thread, view)
        except asyncio.CancelledError:
            turn.state = "stopped"
        except Busy:
            turn.state, turn.text = "failed", self.words.busy
        except MedError as error:
            log.warning("%s", error)
            turn.state, turn.text = "failed", self.words.failed
        except Exception:  # the boundary: a page must not freeze because a model broke
            log.exception("unexpected failure")
            turn.state, turn.text = "failed", self.words.failed
        if not self.client.is_deleted and thread is self.thread:
            with self.client:
                view.finish()
                self.composer.classes(remove="busy")
                self._suggest()

    async def _listen(self, thread: Thread, view: TurnView) -> Literal["done"]:
        turn = view.turn
        ahead = self.desk.turns.inside
        if ahead:
            view.progress(self.words.waiting.format(n=ahead))
        pieces = self.desk.turns.stream(self.model, thread.messages(), Sampling(max_tokens=DEFAULT_TOKENS))
        async with contextlib.aclosing(pieces) as items:
            async for piece in items:
                if isinstance(piece, Reply):
                    turn.reply, turn.text = piece, piece.text
                    continue
                turn.text += piece
                view.progress(self.words.checking if not piece else "")
        return "done"

    def _stop(self) -> None:
        if self.task is not None:
            self.task.cancel()

    def _leave(self) -> None:
        self._stop()

    # Small events

    def _choose(self, event: GenericEventArguments) -> None:
        self.model = self.desk.models.get(str(event.args), self.model)

    def _show(self, *, readme: bool) -> None:
        self.readme.classes(**({"remove": "hidden"} if readme else {"add": "hidden"}))
        self.chat.classes(**({"add": "hidden"} if readme else {"remove": "hidden"}))
        self.readme_tab.classes(**({"add": "on"} if readme else {"remove": "on"}))
        self.chat_tab.classes(**({"remove": "on"} if readme else {"add": "on"}))

    def _accept(self) -> None:
        self.accepted = True
        self.terms.close()
        self.client.run_javascript("document.getElementById('ask').focus()")
        self._lock()

    def _lock(self) -> None:
        self.composer.classes(**({"remove": "locked"} if self.accepted else {"add": "locked"}))
        self.input.props["placeholder"] = self.words.placeholder if self.accepted else self.words.locked

    def _ask_new(self) -> None:
        self._show(readme=False)
        if self.thread.turns:
            self.renew.open()

    def _renew(self) -> None:
        self.renew.close()
        self._close_drawer()
        self._stop()
        self.thread = self.desk.threads.clear(self.tab)
        self.composer.classes(remove="busy")
        self._redraw()
        self.client.run_javascript("xinglin.clear()")

    def _cite(self, passages: Sequence[Passage], number: int) -> None:
        facts = self.model.evidence(passages) if isinstance(self.model, Assistant) else {}
        self.evidence.set_content(evidence_html(passages, facts, self.words))
        self.drawer.classes(add="open")
        self.client.run_javascript(f"setTimeout(() => xinglin.show({number}), 80)")

    def _close_drawer(self) -> None:
        self.drawer.classes(remove="open")
