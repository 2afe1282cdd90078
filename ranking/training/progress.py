"""What training tells whoever waits for it."""

from __future__ import annotations

from collections.abc import Callable

Progress = Callable[[str, float], None]
"""Hears the stage's name and the share of it that is done."""


def unheard(_stage: str, _share: float) -> None:
    """Nobody waits."""
