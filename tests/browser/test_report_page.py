"""The evaluation report in a real browser: nothing from outside, no overflow on a phone, readable without scripts."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

from xinglin.evaluate.compare import Pair, compare
from xinglin.evaluate.report import Candidate, Source, Summary, pick_examples, write_report
from xinglin.evaluate.run import summarise
from xinglin.evaluate.tasks.facts import recall_task
from xinglin.types import Message, Origin, Prediction, Question

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
ORIGIN = Origin("own.jsonl", "1", "CC0-1.0", "template")
MODELS = ("base", "pretrained-with-a-long-name", "sft", "rs", "aligned")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    if CHROMIUM is None:
        if os.environ.get("CI") == "true":
            pytest.fail("Chromium is missing: .ci/run installs it")
        pytest.skip("no Chromium here: the report is not looked at")
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    asked = [
        Question(f"question-{n}", (Message("user", f"某药{n}号的适应症是什么？"),), (f"某病{n}型",), "recall", ORIGIN)
        for n in range(60)
    ]
    rows = {
        name: [
            Prediction(one.id, one.answers[0] if n < 15 * at else "细胞" * 90, float(n < 15 * at))
            for n, one in enumerate(asked)
        ]
        for at, name in enumerate(MODELS)
    }
    task = recall_task(asked)
    pairs = [Pair(before, after, "recall", rows[before], rows[after]) for before, after in pairwise(MODELS)]
    summary = Summary(
        recipe="example",
        base="tiny",
        seed=7,
        models=tuple(Candidate(name, MODELS[at - 1] if at else "") for at, name in enumerate(MODELS)),
        reports=tuple(summarise(name, task, found) for name, found in rows.items()),
        comparisons=tuple(compare(pairs)),
        examples=pick_examples(asked, rows),
        sources=(Source("pack:starter", "Apache-2.0", 5000, "own summary, not reviewed by a physician"),),
    )
    folder = tmp_path_factory.mktemp("report")
    write_report(folder, summary)
    return folder / "report.html"


@pytest.mark.parametrize("width", [1280, 390])
def test_the_report_fits_the_window_and_asks_for_nothing(browser: Browser, report: Path, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    asked: list[str] = []
    complaints: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda line: complaints.append(line.text) if line.type == "error" else None)
    page.goto(report.as_uri())
    assert page.evaluate("document.documentElement.scrollWidth - window.innerWidth") <= 0
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    assert complaints == []
    overflowing = page.evaluate(
        "[...document.querySelectorAll('.node')].filter(node => node.scrollWidth > node.clientWidth + 1).length"
    )
    assert overflowing == 0
    page.close()
