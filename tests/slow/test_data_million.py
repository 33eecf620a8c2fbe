"""A million short records are deduplicated in bounded memory, and every removal was verified."""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
from pathlib import Path

from xinglin.data.streams import beside
from xinglin.files import stream_records
from xinglin.types import Message, Origin, Sample

RECORDS, PLANTED = 1_000_000, 20_000
GIB = 4
WORDS = [
    "头痛",
    "发热",
    "咳嗽",
    "失眠",
    "腹泻",
    "心悸",
    "眩晕",
    "便秘",
    "胃痛",
    "鼻塞",
    "皮疹",
    "水肿",
    "耳鸣",
    "乏力",
    "胸闷",
    "恶心",
    "血压",
    "血糖",
    "饮食",
    "作息",
    "复查",
    "门诊",
]


def write(path: Path) -> None:
    """Records of our own writing; the last ones copy earlier ones with a changed mark or a few characters more."""
    chance = random.Random(5)
    origin = {"source": "own", "item": "1", "licence": "CC0-1.0", "kind": "template"}
    with path.open("w", encoding="utf-8") as file:
        kept: list[str] = []
        for at in range(RECORDS):
            if at >= RECORDS - PLANTED:
                text = kept[at - RECORDS + PLANTED].replace("，", " ，") + ("谢谢" if at % 2 else "")
            else:
                text = f"第{at * 7919 % 1_000_003}号，{chance.choice(WORDS)}{at}天，" + "".join(
                    chance.choices(WORDS, k=6)
                )
                if at < PLANTED:
                    kept.append(text)
            row = {"id": f"sample-{at}", "messages": [{"role": "user", "content": text}], "origin": origin}
            file.write(json.dumps(row, ensure_ascii=False) + "\n")


def test_a_million_records_stay_below_four_gib_and_the_planted_copies_go(tmp_path: Path) -> None:
    write(tmp_path / "records.jsonl")
    limit = GIB << 30
    call = [
        sys.executable,
        "-m",
        "xinglin",
        "data",
        "dedup",
        "records.jsonl",
        "-o",
        "out.jsonl",
        "--threshold",
        "0.8",
        "--json",
    ]
    done = subprocess.run(
        call,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (limit, limit)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    counts = json.loads(done.stdout)
    assert counts["records"] == RECORDS
    gone = sum(1 for _ in (beside(tmp_path / "out.jsonl", "removed")).open(encoding="utf-8"))
    assert gone == counts["exact"] + counts["near"] >= 0.97 * PLANTED
    assert counts["kept"] == RECORDS - gone
    with (beside(tmp_path / "out.jsonl", "removed")).open(encoding="utf-8") as file:
        removals = [json.loads(line) for line in file]
    assert all(one["similarity"] >= 0.8 for one in removals)
    planted = sum(max(one["at"], one["kept_at"]) >= RECORDS - PLANTED for one in removals)
    assert planted >= 0.97 * PLANTED


def test_the_rows_written_here_are_samples(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    origin = {"source": "own", "item": "1", "licence": "CC0-1.0", "kind": "template"}
    row = {"id": "sample-1", "messages": [{"role": "user", "content": "头痛"}], "origin": origin}
    path.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    (sample,) = stream_records(path, Sample)
    assert sample == Sample("sample-1", (Message("user", "头痛"),), Origin("own", "1", "CC0-1.0", "template"))
