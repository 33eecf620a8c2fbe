"""What the tests of the whole share: the small regime, run once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")  # before the command server starts

from command import xinglin
from small_regime import write


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the small recipe and its finished, uninterrupted run. Only to be read."""
    root = tmp_path_factory.mktemp("finished")
    write(root)
    ended = xinglin("run", str(root / "small.yaml"), "--runs", str(root / "runs"), folder=root)
    assert ended.code == 0, ended.err
    return root
