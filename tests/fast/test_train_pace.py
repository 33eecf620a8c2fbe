"""When checkpoints are due: often while they are cheap, seldom when they are not, at last after `most` seconds."""

from __future__ import annotations

import pytest

from xinglin.train import resume
from xinglin.train.resume import SOON, Pace


class Clock:
    now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(resume, "time", made)
    return made


@pytest.mark.parametrize(("saving", "wait"), [(0.1, SOON), (2.0, 100.0), (60.0, 600.0)])
def test_the_next_checkpoint_depends_on_what_the_last_one_cost(clock: Clock, saving: float, wait: float) -> None:
    pace = Pace(600.0)
    clock.now += SOON - 1
    assert not pace.due()
    clock.now += 1
    assert pace.due()
    pace.begin()
    clock.now += saving
    pace.end()
    clock.now += wait - 0.5
    assert not pace.due()
    clock.now += 0.5
    assert pace.due()


def test_without_patience_every_step_is_kept(clock: Clock) -> None:
    pace = Pace(0.0)
    assert pace.due()
    pace.begin()
    clock.now += 5
    pace.end()
    assert pace.due()
