"""Progress of a long verb on stderr: a bar with its rate on a terminal, nothing elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import TYPE_CHECKING

from xinglin.cli import interrupt

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


class Bar:
    """`with Bar("clean") as bar: bar.moved(done, total)`; `total` is None where nobody knows it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.progress: Progress | None = None
        self.task: TaskID | None = None
        self.clock = time.monotonic()

    def __enter__(self) -> Bar:
        from xinglin.cli.screen import err

        if err.is_terminal:
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self.progress = Progress(
                TextColumn("  [cyan]▶[/cyan] {task.description}"),
                BarColumn(bar_width=28),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TextColumn("[dim]{task.fields[rate]}[/dim]"),
                console=err,
                transient=True,
            )
            self.task = self.progress.add_task(self.name, total=None, rate="")
            self.progress.start()
        return self

    def moved(self, done: int, total: int | None = None) -> None:
        """Show that `done` of `total` records are through."""
        interrupt.check()
        if self.progress is not None and self.task is not None:
            rate = done / max(time.monotonic() - self.clock, 1e-6)
            self.progress.update(self.task, completed=done, total=total, rate=f"{rate:,.0f}/s")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.progress is not None:
            self.progress.stop()
