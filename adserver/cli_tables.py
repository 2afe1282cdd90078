"""Where tables go: a terminal, or a pipe on which they are as wide as a wide terminal."""

from __future__ import annotations

from rich.console import Console

WIDE = 120
"""Columns on a pipe, where cut figures are of no use."""


def tables() -> Console:
    console = Console()
    return console if console.is_terminal else Console(width=WIDE)
