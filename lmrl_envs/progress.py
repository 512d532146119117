"""Progress bars on a terminal's stderr; silent everywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

T = TypeVar("T")
_REFRESH_SECONDS = 0.1


class ProgressBar:
    """A live bar. Made by `progress_bar`; without a terminal it draws nothing."""

    def __init__(self, progress: Progress | None, task: TaskID, start: int):
        self._progress, self._task, self._step = progress, task, start
        self._fields: dict[str, object] = {}
        self._drawn = 0.0

    def update(self, step: int | None = None, **fields: object) -> None:
        """Moves to `step` (None: one further) and shows `fields` as `name value`; a field stays until it changes."""
        self._step = self._step + 1 if step is None else step
        self._fields |= fields
        if self._progress is not None and time.monotonic() - self._drawn >= _REFRESH_SECONDS:
            self.draw()

    def draw(self) -> None:
        """Draws now; `update` does so at most ten times a second, so that a fast loop stays fast."""
        if self._progress is not None:
            shown = "  ".join(f"{name.replace('_', ' ')} {_short(value)}" for name, value in self._fields.items())
            self._progress.update(self._task, completed=self._step, fields=shown, refresh=True)
            self._drawn = time.monotonic()


@contextmanager
def progress_bar(
    description: str, *, total: int | None = None, start: int = 0, enabled: bool = True
) -> Iterator[ProgressBar]:
    """A bar from `start` to `total` with the time left, for as long as the block runs."""
    console = Console(stderr=True)
    if not (enabled and console.is_terminal):
        yield ProgressBar(None, TaskID(0), start)
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[fields]}", markup=False),
    )
    # No refreshing thread: on a small machine it would take time from the work that it shows.
    with Progress(*columns, console=console, auto_refresh=False) as progress:
        bar = ProgressBar(progress, progress.add_task(description, total=total, completed=start, fields=""), start)
        try:
            yield bar
        finally:
            bar.draw()


def track(iterable: Iterable[T], *, description: str, total: int | None = None, enabled: bool = True) -> Iterator[T]:
    """Yields the items of `iterable` under a bar; `total` defaults to its length where it has one."""
    if total is None and isinstance(iterable, Sized):
        total = len(iterable)
    with progress_bar(description, total=total, enabled=enabled) as bar:
        for item in iterable:
            yield item
            bar.update()


def _short(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"
    return f"{value:,}" if isinstance(value, int) else str(value)
