"""The quickstart recipe end to end with fewer topics and epochs: the same steps, commands and files as the real one."""

from __future__ import annotations

import json
import os
import resource
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from xinglin import files
from xinglin.recipe.models import Places
from xinglin.recipe.plan import Plan
from xinglin.types import Prediction, Sample

REPOSITORY = Path(__file__).parents[2]
RECIPE = REPOSITORY / "recipes" / "quickstart.yaml"
FEWER = (
    "taught.topics=40",
    "rs.floor=-100",  # what is taught here knows no answer that the verifier could find right
    "pt.epochs=1",
    "sft.epochs=1",
    "rm.epochs=1",
    "rs.most=12",
    "own.most=12",
    "own.reward=rm",  # for the same reason
    "own.gap=0.001",
    "aligned.most=40",
    "tables.most=24",
)
SETTINGS = [part for setting in FEWER for part in ("--set", setting)]


def xinglin(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "COLUMNS": "120"}
    return subprocess.run(
        [sys.executable, "-m", "xinglin", *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=environment,
        cwd=REPOSITORY,
        check=False,
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def first(runs: Path) -> subprocess.CompletedProcess[str]:
    done = xinglin("run", str(RECIPE), "--runs", str(runs), *SETTINGS)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def plan(runs: Path, first: subprocess.CompletedProcess[str]) -> Plan:
    return Places(runs=runs, settings=FEWER).plan(RECIPE)


def test_the_run_prints_the_table_three_cited_answers_and_how_to_open_the_chat(
    first: subprocess.CompletedProcess[str],
) -> None:
    for model in ("base", "pt", "sft", "rs", "aligned"):
        assert f"\n  {model} " in first.stdout
    assert first.stdout.count("问 ") == 3
    assert first.stdout.count("[1]") >= 3
    assert "xinglin serve" in first.stdout
    assert "仅供参考" in first.stdout


def test_a_dose_of_the_unreviewed_pack_is_not_quoted(first: subprocess.CompletedProcess[str]) -> None:
    answer = first.stdout.split("问 二甲双胍一次吃多少？")[1].split("内容由AI生成")[0]
    assert "医嘱为准" in answer
    assert " g" not in answer
    assert "mg" not in answer


def test_every_step_is_done_and_all_digests_hold(plan: Plan, runs: Path) -> None:
    assert all(step.done for step in plan.steps)
    assert xinglin("verify", str(runs)).returncode == 0


def _processor_seconds() -> float:
    """What the child processes that have ended took of the processor: a busy machine makes it little longer."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def test_a_second_run_skips_everything_in_ten_seconds(first: subprocess.CompletedProcess[str], runs: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("manifest.json")}
    spent = _processor_seconds()
    again = xinglin("run", str(RECIPE), "--runs", str(runs), *SETTINGS, "--until", "tables")
    assert again.returncode == 0, again.stderr
    assert _processor_seconds() - spent < 10
    assert again.stderr.count("已完成") == len(before)
    assert {path: path.stat().st_mtime_ns for path in runs.rglob("manifest.json")} == before


def test_changing_one_knob_reruns_only_what_depends_on_it(plan: Plan, runs: Path) -> None:
    changed = Places(runs=runs, settings=(*FEWER, "aligned.beta=0.2")).plan(RECIPE)
    assert [step.name for step in changed.steps if not step.done] == ["aligned", "tables"]


def test_plan_lists_steps_with_digests_states_and_times(plan: Plan, runs: Path) -> None:
    shown = xinglin("plan", str(RECIPE), "--runs", str(runs), *SETTINGS)
    assert shown.returncode == 0, shown.stderr
    for step in plan.steps:
        assert f"{step.digest[:12]}" in shown.stdout
    assert "已完成" in shown.stdout
    described = json.loads(xinglin("plan", str(RECIPE), "--runs", str(runs), *SETTINGS, "--json").stdout)
    assert [step["digest"] for step in described["steps"]] == [step.digest for step in plan.steps]


def test_a_training_sample_is_traced_to_its_facts_and_their_licences(plan: Plan, runs: Path) -> None:
    sample = files.read_records(plan.folder("rs") / "samples.jsonl", Sample)[0]
    shown = xinglin("trace", sample.id, "--runs", str(runs))
    assert shown.returncode == 0, shown.stderr
    facts = [parent for parent in sample.origin.parents if parent.startswith("fact-")]
    assert facts
    assert all(fact in shown.stdout for fact in facts)
    assert "Apache-2.0" in shown.stdout
    assert "pack:starter" in shown.stdout


def test_every_policy_is_evaluated_on_the_same_questions(plan: Plan) -> None:
    folder = plan.folder("tables") / "predictions"
    asked = {
        model: [one.question for one in files.read_records(folder / model / "recall.jsonl", Prediction)]
        for model in ("base", "pt", "sft", "rs", "aligned")
    }
    assert len({tuple(questions) for questions in asked.values()}) == 1
    assert len(asked["base"]) == 24


def test_the_report_is_whole_and_asks_nothing_of_the_network(plan: Plan) -> None:
    folder = plan.folder("tables")
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert (folder / "report.md").is_file()
    assert page.count("data:image/png") >= 5


@pytest.fixture
def served(plan: Plan) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "xinglin", "serve", str(plan.folder("sft")), "--port", str(port)]
    server = subprocess.Popen(command, stderr=subprocess.DEVNULL, env=os.environ | {"HF_HUB_OFFLINE": "1"})
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{address}/healthz", timeout=2)
                break
            except OSError:
                time.sleep(0.3)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def test_a_trained_step_is_served_over_the_openai_api(served: str) -> None:
    body = {"model": json.load(urllib.request.urlopen(f"{served}/v1/models"))["data"][0]["id"]}
    body |= {"messages": [{"role": "user", "content": "高血压应该挂什么科？"}], "max_tokens": 16}
    request = urllib.request.Request(
        f"{served}/v1/chat/completions", json.dumps(body).encode(), {"content-type": "application/json"}
    )
    reply = json.load(urllib.request.urlopen(request, timeout=30))
    assert reply["choices"][0]["message"]["role"] == "assistant"
    assert reply["xinglin"]["ai_label"] == "内容由AI生成，仅供参考"
