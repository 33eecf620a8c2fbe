"""Work as the number of calls it makes: the same on a busy machine, where a clock would fail a test for no fault."""

from __future__ import annotations

import sys
from collections.abc import Callable


def calls(work: Callable[[], object]) -> int:
    """The calls and returns of Python and built-in functions while `work` runs."""
    found = 0

    def count(*_: object) -> None:
        nonlocal found
        found += 1

    sys.setprofile(count)
    try:
        work()
    finally:
        sys.setprofile(None)
    return found
