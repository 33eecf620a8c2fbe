"""The command line in a process of its own, as a user runs it, but without waiting for torch each time.

`start` forks from a server that has imported everything and computed nothing (Python's own forkserver), so that a
test can kill and start the command many times. `plain` is an ordinary `python -m xinglin`.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

MODULES = [
    *("xinglin.cli.screen", "xinglin.recipe.models", "xinglin.recipe.measure", "xinglin.chat.local"),
    *("xinglin.model.rewarder", "xinglin.model.tiny", "xinglin.serve.assistant", "matplotlib.figure"),
    *(f"xinglin.train.{stage}" for stage in ("pretrain", "sft", "reward", "reject", "preference", "curves")),
]
CHANGES = ("open", "os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.truncate")
"""What the interpreter reports before it changes a file (library reference, audit events table)."""
SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(MODULES)


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit code (negative: the signal that killed it) and what it wrote."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Fault:
    """What befalls a command: files of at most `bytes` (a full disk), or SIGKILL before its `change`-th change of a
    file below `folder`."""

    bytes: int = 0
    change: int = 0
    folder: Path = Path()


@dataclass
class Command:
    """A running command."""

    process: ForkServerProcess
    log: Path
    told: Outcome | None = field(default=None)

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a command that has just ended does not mind."""
        if self.process.is_alive() and self.process.pid:
            os.kill(self.process.pid, number)

    def end(self, *, seconds: float = 120) -> Outcome:
        """Wait for the end."""
        self.process.join(seconds)
        assert self.process.exitcode is not None, f"still at work after {seconds} s: {self.log}"
        out, err = (self.log.with_suffix(end).read_text(encoding="utf-8") for end in (".out", ".err"))
        return Outcome(self.process.exitcode, out, err)


def start(*arguments: str, folder: Path, fault: Fault = Fault(), env: Mapping[str, str] | None = None) -> Command:
    """Start `xinglin ARGUMENTS` with `folder` as its working folder; its output goes to `folder`/logs."""
    logs = folder / "logs"
    logs.mkdir(exist_ok=True)
    log = logs / f"{len(list(logs.glob('*.out'))):03d}"
    process = SERVER.Process(target=_command, args=(arguments, str(folder), str(log), fault, dict(env or {})))
    process.start()
    return Command(process, log)


def xinglin(*arguments: str, folder: Path, fault: Fault = Fault(), env: Mapping[str, str] | None = None) -> Outcome:
    """Run `xinglin ARGUMENTS` to its end."""
    return start(*arguments, folder=folder, fault=fault, env=env).end()


def plain(*arguments: str, folder: Path, env: Mapping[str, str] | None = None) -> Outcome:
    """Run `python -m xinglin ARGUMENTS` to its end."""
    done = subprocess.run(
        [sys.executable, "-m", "xinglin", *arguments],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    return Outcome(done.returncode, done.stdout, done.stderr)


def _command(arguments: Sequence[str], folder: str, log: str, fault: Fault, env: dict[str, str]) -> None:
    os.chdir(folder)
    os.environ.update(env)
    for number, end in ((1, ".out"), (2, ".err")):
        handle = os.open(log + end, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(handle, number)
    if fault.bytes:
        resource.setrlimit(resource.RLIMIT_FSIZE, (fault.bytes, resource.RLIM_INFINITY))
    if fault.change:
        _kill_at(fault.change, fault.folder)
    # A shell that starts the tests in the background has them ignore it, and so would their children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.argv = ["xinglin", *arguments]
    from xinglin.cli import main

    main()


def _kill_at(change: int, folder: Path) -> None:
    """Kill this process before its n-th change of a file below the folder."""
    seen = 0

    def watch(event: str, details: tuple[Any, ...]) -> None:
        nonlocal seen
        if event not in CHANGES or isinstance(details[0], int):
            return
        path = Path(os.path.abspath(os.fsdecode(details[0])))
        if path != folder and folder not in path.parents:
            return
        if event == "open" and not details[2] & (os.O_WRONLY | os.O_RDWR):
            return
        seen += 1
        if seen == change:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
