"""The error tree: every failure a user can cause says what is wrong, where, and how to fix it.

Exit codes (architecture.md section 7): 1 a check or gate failed, 2 recipe, 3 data, 4 model, 5 engine,
6 safety, 7 stopped at a cap (run the same command again to resume), 130 interrupted.
"""

from __future__ import annotations

import errno
from typing import ClassVar

FULL_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class MedError(Exception):
    """A failure to show to the user: `problem` (what), `where` (file:line or key), `fix` (what to do)."""

    code: ClassVar[int] = 5
    kind: ClassVar[str] = "engine"

    def __init__(self, problem: str, *, where: str = "", fix: str = "") -> None:
        super().__init__(problem)
        self.problem = problem
        self.where = where
        self.fix = fix

    def __str__(self) -> str:
        where = f"{self.where}: " if self.where else ""
        fix = f"\n  fix: {self.fix}" if self.fix else ""
        return f"{where}{self.problem}{fix}"


class GateError(MedError):
    """A check that was asked for did not hold."""

    code = 1
    kind = "check"


class RecipeError(MedError):
    """The recipe or the command line cannot be understood."""

    code = 2
    kind = "recipe"


class DataError(MedError):
    """An input file is missing, unreadable or malformed."""

    code = 3
    kind = "data"


class ModelError(MedError):
    """A model folder, tokenizer or checkpoint cannot be used."""

    code = 4
    kind = "model"


class EngineError(MedError):
    """Something on the machine failed: a port, a lock, a missing library."""

    code = 5
    kind = "engine"


class SafetyError(MedError):
    """A safety rule forbids what was asked."""

    code = 6
    kind = "safety"


class CapError(MedError):
    """Stopped at a limit such as a full disk; finished work is kept, run the command again to resume."""

    code = 7
    kind = "cap"


def full_disk(error: OSError, *, where: str) -> CapError:
    """Turn ENOSPC, EDQUOT or EFBIG into a CapError that names the file being written."""
    reason = error.strerror or "no space left"
    return CapError(
        f"could not write: {reason}",
        where=where,
        fix="free some disk space (see `xinglin runs list` and `xinglin runs prune`) and run the same command "
        "again; finished steps are kept",
    )
