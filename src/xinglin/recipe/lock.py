"""One process at a time works on the results of a recipe."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from xinglin.errors import EngineError


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the recipe's lock; it is released by the system when the process ends, however it ends."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / ".lock"
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise EngineError(
                f"another run of this recipe is at work (process {file.read().strip() or 'unknown'})",
                where=str(path),
                fix="wait for it to finish, or stop it",
            ) from None
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        yield
