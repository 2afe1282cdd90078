"""What work in a thread does between two of its steps, so that decisions meet few of them."""

from __future__ import annotations

from collections.abc import Callable

Rest = Callable[[], None]


def at_once() -> None:
    """No rest: nobody decides meanwhile."""
