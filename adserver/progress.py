"""Progress bars on the terminal for work that takes more than a moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

Heard = Callable[[str, int, int], None]
"""What is being done, how much is done, how much there is."""


@contextmanager
def shown(console: Console, title: str) -> Iterator[Heard]:
    """A bar per step that is heard of; on a pipe, a line when all is done."""
    columns = (TextColumn("{task.description:<34}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bars:
        tasks = {title: bars.add_task(title, total=None)}

        def hear(step: str, done: int, total: int) -> None:
            if step not in tasks:
                tasks[step] = bars.add_task(f"  {step}", total=total)
            bars.update(tasks[step], completed=done, total=total)

        yield hear
        bars.update(tasks[title], completed=1, total=1)


@contextmanager
def shares(console: Console, title: str) -> Iterator[Callable[[str, float], None]]:
    """The same for work that tells the share of a stage that is done."""
    with shown(console, title) as heard:
        yield lambda stage, share: heard(stage, round(share * 1000), 1000)
