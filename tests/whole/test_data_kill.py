"""A data verb that is killed at any change of a file, and run again, writes what an uninterrupted one writes."""

from __future__ import annotations

import json
import random
import signal
from pathlib import Path

import pytest
from command import Fault, xinglin

CHANCE = random.Random(41)
KILLS = 4
VERBS: dict[str, tuple[str, ...]] = {
    "import": ("import", "rows.jsonl", "-o", "out/import.jsonl", "--max-dropped", "0.1"),
    "clean": ("clean", "records.jsonl", "-o", "out/clean.jsonl"),
    "deidentify": ("deidentify", "records.jsonl", "-o", "out/deidentify.jsonl"),
    "dedup": ("dedup", "records.jsonl", "-o", "out/dedup.jsonl"),
    "overlap": ("overlap", "records.jsonl", "--against", "exam.jsonl", "--remove", "-o", "out/overlap.jsonl"),
    "split": ("split", "records.jsonl", "-o", "out/split"),
    "mix": ("mix", "records.jsonl", "exam.jsonl", "-o", "out/mix.jsonl", "--most", "60"),
    "noise": ("noise", "records.jsonl", "-o", "out/noise.jsonl"),
}


def talk(at: int) -> dict[str, object]:
    asked = f"医生您好，我叫王建{'国军华平'[at % 4]}，头痛第{at}天，电话1391234{at:04d}，需要做哪些检查呢？"
    answer = f"建议测量血压，必要时做头颅检查；第{at + 2}天不缓解请到神经内科就诊。详情见http://example.com/{at}"
    return {"messages": [{"role": "user", "content": asked}, {"role": "assistant", "content": answer}]}


def write(path: Path, rows: list[dict[str, object]]) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The inputs of all verbs, by file name."""
    root = tmp_path_factory.mktemp("sources")
    rows = [talk(at) for at in range(80)]
    write(root / "rows.jsonl", [*rows, *rows[:10]])
    (root / "rows.jsonl").write_text((root / "rows.jsonl").read_text(encoding="utf-8") + "{broken\n", encoding="utf-8")
    write(root / "some.jsonl", rows[3:9])
    for source, made in (("rows.jsonl", "records.jsonl"), ("some.jsonl", "exam.jsonl")):
        done = xinglin("data", "import", source, "-o", made, "--max-dropped", "0.1", folder=root)
        assert done.code == 0, done.err
    return {name: (root / name).read_text(encoding="utf-8") for name in ("rows.jsonl", "records.jsonl", "exam.jsonl")}


def prepare(root: Path, sources: dict[str, str]) -> None:
    (root / "out").mkdir(parents=True)
    for name, text in sources.items():
        (root / name).write_text(text, encoding="utf-8")


def outputs(root: Path) -> dict[str, str]:
    """Every file a verb wrote, without what a run of it says about itself."""
    files = sorted(path for path in (root / "out").rglob("*") if path.is_file())
    return {str(path.relative_to(root)): path.read_text(encoding="utf-8") for path in files}


@pytest.mark.parametrize("verb", VERBS)
def test_a_killed_verb_run_again_writes_what_an_uninterrupted_one_does(
    verb: str, sources: dict[str, str], tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    for root in (whole, cut):
        prepare(root, sources)
    done = xinglin("data", *VERBS[verb], folder=whole)
    assert done.code == 0, done.err
    wanted = outputs(whole)
    assert wanted
    killed = 0
    for _ in range(KILLS):
        fault = Fault(change=CHANCE.randint(1, 8), folder=cut / "out")
        ended = xinglin("data", *VERBS[verb], folder=cut, fault=fault)
        killed += ended.code == -signal.SIGKILL
        for name, text in outputs(cut).items():
            if name in wanted:
                assert text == wanted[name], f"{name} is half written"
        assert {name: (cut / name).read_text(encoding="utf-8") for name in sources} == sources
        if ended.code != -signal.SIGKILL:
            break
    assert killed, "no kill hit the verb"
    last = xinglin("data", *VERBS[verb], folder=cut)
    assert last.code == 0, last.err
    assert outputs(cut) == wanted
