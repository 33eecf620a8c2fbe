"""The page of training curves in a real browser: drawn without errors, no outside request, no overflow on a phone."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from xinglin.train.curves import write_page

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: .ci/run installs it")
        pytest.skip("no Chromium here: the page is not looked at")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.mark.parametrize("width", [1280, 390])
def test_the_curves_are_drawn_and_answer_to_the_pointer(browser: Browser, width: int, tmp_path: Path) -> None:
    lines = [{"step": at, "loss": 2 / at, "rate": 1e-3, "kl": at / 9} for at in range(1, 41)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    write_page(tmp_path / "metrics.jsonl", tmp_path / "curve.html", stage="sft", about="demo")
    page = browser.new_page(viewport={"width": width, "height": 800})
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "curve.html").as_uri())
    assert page.locator("figure").count() == 3
    assert page.locator("path.raw").count() == 3
    before = page.locator("path.mean").first.get_attribute("d")
    page.locator("#smooth").fill("0.5")
    assert page.locator("path.mean").first.get_attribute("d") != before
    page.locator("#smooth").fill("0")
    assert page.locator("path.mean").count() == 0
    page.locator("#log").check()
    page.locator("svg").first.hover()
    assert page.locator("line.cross").first.get_attribute("visibility") == "visible"
    step = int(page.locator("figcaption span").first.inner_text().split(":")[0])
    assert 14 <= step <= 26, "the pointer is in the middle"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert problems == []
    assert asked == [(tmp_path / "curve.html").as_uri()]
    page.close()
