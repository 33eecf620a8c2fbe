"""Ctrl-C that is not lost: Python drops an interrupt that lands in a callback of its garbage collector."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

_pressed = False


def listen() -> None:
    """Remember interrupts from here on; where they are ignored (jobs in the background) they stay ignored."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _note)
        sys.unraisablehook = _unraisable


def _unraisable(lost: UnraisableHookArgs) -> None:
    """Say nothing of an interrupt that was lost: `check` raises it again."""
    if not isinstance(lost.exc_value, KeyboardInterrupt):
        sys.__unraisablehook__(lost)


def check() -> None:
    """Raise the interrupt that was pressed earlier and lost; long work calls this as it makes progress."""
    if _pressed:
        raise KeyboardInterrupt


def _note(number: int, frame: FrameType | None) -> None:
    global _pressed
    _pressed = True
    raise KeyboardInterrupt
