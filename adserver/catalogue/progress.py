"""How far a long work is, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, int, int], None]
"""Called with what is being done, how much is done, and how much there is."""


def silent(_step: str, _done: int, _total: int) -> None:
    """Nobody watches."""
