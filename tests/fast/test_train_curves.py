"""Curves as a picture and as a page: every column that is whole, known names first, nothing from the outside."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from xinglin.train.curves import LABELS, draw, read_metrics, write_page


def metrics(folder: Path) -> Path:
    path = folder / "metrics.jsonl"
    lines = [{"step": at, "rate": 1e-3 / at, "loss": 3 / at, "new_thing": at, "reward": at / 2} for at in range(1, 31)]
    lines[4]["partial"] = 1.0
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def test_the_page_holds_every_whole_column_and_asks_nobody(tmp_path: Path) -> None:
    write_page(metrics(tmp_path), tmp_path / "curve.html", stage="ppo </script>", about="demo · seed <7>")
    text = (tmp_path / "curve.html").read_text(encoding="utf-8")
    data = json.loads(re.findall(r'id="data">(.*?)</script>', text, re.DOTALL)[0])
    assert list(data["columns"]) == ["step", "loss", "reward", "rate", "new_thing"]
    assert data["columns"]["loss"][0] == 3.0
    assert data["labels"]["reward"] == "奖励 reward"
    assert data["labels"]["new_thing"] == "new_thing"
    assert "http" not in text.replace("http://www.w3.org/2000/svg", "")
    assert "demo · seed &lt;7&gt;" in text
    assert "@" not in re.sub(r"@media", "", text), "every mark is filled in"


def test_the_picture_has_room_for_many_columns(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    lines = [{"step": at} | {name: float(at) for name in LABELS} for at in range(1, 5)]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    assert len(read_metrics(path)) == len(LABELS) + 1
    draw(path, tmp_path / "curve.png", stage="ppo")
    assert (tmp_path / "curve.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_giving_curves_to_tensorboard_loads_no_torch() -> None:
    code = "import sys, xinglin.train.board; sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
