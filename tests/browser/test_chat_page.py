"""The chat page in a real browser: terms first, cited answers, nothing from outside, at home on a phone."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

HERE = Path(__file__).parent
WIDE, PHONE = (1280, 860), (390, 844)
ACCEPT = "同意并开始"
LABEL = "内容由AI生成，仅供参考"


@dataclass
class Visit:
    """A browser of its own with one page, and everything it asked for or complained about."""

    context: BrowserContext
    page: Page
    outside: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def watch(self) -> None:
        """Note requests that leave this machine and errors on the console."""
        self.context.on("request", lambda request: self._seen(request.url))
        self.page.on("websocket", lambda socket: self._seen(socket.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on(
            "console", lambda line: self.complaints.append(line.text) if line.type in ("error", "warning") else None
        )

    def _seen(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            self.outside.append(url)

    def ask(self, text: str) -> None:
        """Type a question and press Enter."""
        self.page.fill("#ask", text)
        self.page.press("#ask", "Enter")

    def answered(self, count: int) -> None:
        """Wait until `count` answers are finished."""
        expect(self.page.locator(".turn.assistant .ai-label")).to_have_count(count)
        expect(self.page.locator(".composer.busy")).to_have_count(0)

    def overflow(self) -> int:
        """Pixels by which anything is wider than the window."""
        return self.page.evaluate(
            "Math.max(document.documentElement.scrollWidth, ...[...document.querySelectorAll("
            "'.top > *, .thread *, .composer *, .readme *, .dialog *')].filter(e => e.offsetParent)"
            ".map(e => e.getBoundingClientRect().right)) - innerWidth"
        )


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    process = subprocess.Popen(
        [sys.executable, str(HERE / "page_server.py")], stderr=subprocess.PIPE, text=True, cwd=HERE.parent.parent
    )
    assert process.stderr is not None
    try:
        found = None
        seen = []
        while found is None and (line := process.stderr.readline()):
            seen.append(line)
            found = re.search(r"http://[\d.:]+", line)
        assert found is not None, "".join(seen)
        yield found[0]
    finally:
        process.send_signal(signal.SIGINT)
        code = process.wait(10)
        rest = process.stderr.read()
        process.stderr.close()
    assert (code, rest) == (0, ""), "Ctrl-C must end the server cleanly, and nothing may have been logged"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        reason = "Chromium is missing: the chat page was NOT tested (apt-get install chromium)"
        if os.environ.get("CI") == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def visits(browser: Browser, address: str) -> Iterator[list[Visit]]:
    """Visits opened by a test; at its end none of them may have gone outside or complained."""
    opened: list[Visit] = []
    yield opened
    for visit in opened:
        visit.context.close()
        assert visit.outside == []
        assert visit.complaints == []


def _visit(
    visits: list[Visit],
    browser: Browser,
    address: str,
    *,
    size: tuple[int, int] = WIDE,
    dark: bool = False,
    accept: bool = True,
) -> Visit:
    context = browser.new_context(
        viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light", locale="zh-CN"
    )
    visit = Visit(context, context.new_page())
    visit.watch()
    visits.append(visit)
    visit.page.goto(f"{address}/")
    expect(visit.page.locator(".dialog")).to_be_visible()
    if accept:
        visit.page.click(f"text={ACCEPT}")
        expect(visit.page.locator(".dialog")).to_be_hidden()
        expect(visit.page.locator(".chip").first).to_be_visible()
    return visit


def test_nothing_can_be_asked_before_the_terms_are_accepted(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address, accept=False)
    page = visit.page
    assert "不构成诊断" in page.inner_text(".dialog")
    page.click("text=暂不同意")
    expect(page.locator(".dialog")).to_be_hidden()
    expect(page.locator("#ask")).to_be_hidden()
    page.locator(".chip").first.click()
    expect(page.locator(".dialog")).to_be_visible()
    assert page.locator(".turn.user").count() == 0
    page.click(f"text={ACCEPT}")
    expect(page.locator("#ask")).to_be_visible()
    page.reload()
    expect(page.locator(".chip").first).to_be_visible()
    expect(page.locator(".dialog")).to_be_hidden()


def test_an_answer_is_marked_labelled_and_its_citation_opens_the_evidence(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    visit.ask("安平片的适应症是什么？")
    visit.answered(1)
    assert "安平片的适应症：轻度头晕、紧张不安" in page.inner_text(".said.knowledge")
    assert "安平片的不良反应有口干" in page.inner_text(".said.model")
    assert "治百病" not in page.inner_text("#thread")
    assert page.inner_text(".turn.assistant .ai-label") == LABEL
    assert re.search(r"\d\d:\d\d:\d\d", page.inner_text(".turn.user .time"))
    page.click(".said.knowledge .cite")
    drawer = page.locator("#drawer")
    expect(drawer).to_be_visible()
    for part in ("安平片的适应症：轻度头晕、紧张不安。", "pack:own", "Apache-2.0", "未经医师审核"):
        expect(drawer).to_contain_text(part)
    page.click("#evidence-1 summary")
    expect(page.locator("#evidence-1 li").first).to_contain_text("轻度头晕")
    page.keyboard.press("Escape")
    expect(drawer).to_be_hidden()


def test_a_follow_up_a_missing_entity_and_a_dose_are_answered_honestly(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    for count, question in enumerate(("安平片治什么？", "有什么副作用", "它怎么吃？", "格林达胶囊的禁忌"), 1):
        visit.ask(question)
        visit.answered(count)
    text = page.inner_text("#thread")
    assert "安平片的不良反应：口干、困倦" in text
    assert "具体剂量以药品说明书和医嘱为准" in text
    assert "知识库中没有关于“格林达胶囊”的内容" in text
    page.locator(".turn.assistant").nth(3).locator(".cite").click()
    expect(page.locator("#drawer")).to_contain_text("不展示具体数字")
    assert "7.5" not in page.content()


def test_an_emergency_comes_first_in_red_with_a_number_to_dial(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    visit.ask("我突然胸痛")
    visit.answered(1)
    expect(visit.page.locator('.alarm a[href="tel:120"]')).to_be_visible()


def test_hostile_output_of_a_bare_model_is_harmless(visits: list[Visit], browser: Browser, address: str) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    page.select_option(".choice", "bare")
    visit.ask("感冒怎么办")
    visit.answered(1)
    said = page.locator(".said.raw")
    expect(said).to_contain_text("未核对")
    expect(said).to_contain_text("结束。")
    assert said.locator("img, script, style, iframe, form, svg").count() == 0
    assert said.locator("a").all_inner_texts() == ["来源"]
    assert said.locator("a").get_attribute("rel") == "noopener noreferrer nofollow"
    assert page.title() == "杏林 Xinglin"


def test_facts_are_shown_as_text_even_when_they_look_like_html(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    visit.ask("云岭热有什么症状？")
    visit.answered(1)
    expect(visit.page.locator("#thread .said.knowledge")).to_contain_text("<b>发热</b>")


def test_enter_sends_shift_enter_does_not_and_neither_does_an_input_method(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    page.fill("#ask", "第一行")
    page.press("#ask", "Shift+Enter")
    page.type("#ask", "第二行")
    assert page.input_value("#ask") == "第一行\n第二行"
    page.evaluate(
        "document.getElementById('ask').dispatchEvent("
        "new KeyboardEvent('keydown', {key: 'Enter', isComposing: true, bubbles: true}))"
    )
    page.wait_for_timeout(200)
    assert page.locator(".turn.user").count() == 0
    page.press("#ask", "Enter")
    visit.answered(1)
    assert page.input_value("#ask") == ""
    visit.ask("   ")
    page.wait_for_timeout(200)
    assert page.locator(".turn.user").count() == 1


def test_an_answer_can_be_stopped_and_the_thread_survives_a_reload(
    visits: list[Visit], browser: Browser, address: str
) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    page.select_option(".choice", "bare")
    visit.ask("慢")
    expect(page.locator(".live")).to_contain_text("二。")
    page.click(".stop")
    visit.answered(1)
    expect(page.locator(".said.raw")).to_contain_text("一。")
    expect(page.locator(".said.raw")).not_to_contain_text("十。")
    expect(page.locator(".turn.assistant .note")).to_have_text("已停止")
    page.reload()
    expect(page.locator(".turn.user")).to_contain_text("慢")
    visit.answered(1)


def test_a_new_chat_asks_before_it_clears(visits: list[Visit], browser: Browser, address: str) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    page.locator(".chip").first.click()
    visit.answered(1)
    page.click(".outlined")
    page.click("text=取消")
    assert page.locator(".turn.user").count() == 1
    page.click(".outlined")
    page.click("text=清空并开始")
    expect(page.locator(".turn.user")).to_have_count(0)
    visit.ask("有什么副作用")
    visit.answered(1)
    assert "请说明您问的是哪种" in page.inner_text("#thread"), "the cleared entity must be forgotten"


def test_two_browsers_do_not_see_each_other(visits: list[Visit], browser: Browser, address: str) -> None:
    one, two = _visit(visits, browser, address), _visit(visits, browser, address)
    one.ask("安平片的适应症是什么？")
    two.ask("云岭热怎么护理？")
    one.answered(1)
    two.answered(1)
    assert "云岭热" not in one.page.inner_text("#thread")
    assert "安平片" not in two.page.inner_text(".said.knowledge")
    two.ask("有什么副作用")
    two.answered(2)
    assert "知识库中没有云岭热的不良反应" in two.page.inner_text("#thread")
    three = _visit(visits, browser, address, accept=False)
    assert three.page.locator(".turn.user").count() == 0


@pytest.mark.parametrize("dark", [False, True])
def test_on_a_phone_nothing_is_cut_off_in_either_language(
    visits: list[Visit], browser: Browser, address: str, dark: bool
) -> None:
    visit = _visit(visits, browser, address, size=PHONE, dark=dark)
    page = visit.page
    assert page.evaluate("document.documentElement.dataset.theme") == ("dark" if dark else "light")
    visit.ask("安平片的适应症是什么？" + "很长的问题" * 30)
    visit.answered(1)
    assert visit.overflow() <= 0
    page.locator(".cite").first.click()
    expect(page.locator("#drawer")).to_be_visible()
    page.click("#drawer-close")
    page.click("text=EN")
    expect(page.locator(".tab.on")).to_have_text("Chat")
    visit.answered(1)
    assert visit.overflow() <= 0
    page.click("text=Readme")
    expect(page.locator(".readme")).to_contain_text("Terms of use")
    assert visit.overflow() <= 0


def test_theme_and_language_are_remembered(visits: list[Visit], browser: Browser, address: str) -> None:
    visit = _visit(visits, browser, address)
    page = visit.page
    page.click('[aria-label="切换深色或浅色"]')
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.click("text=EN")
    expect(page.locator(".tab.on")).to_have_text("Chat")
    page.reload()
    expect(page.locator(".tab.on")).to_have_text("Chat")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.wait_for_function("document.documentElement.lang === 'en'")
