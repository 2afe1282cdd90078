"""Counters of another process, which counts some time after it has answered."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Count = TypeVar("Count")


def once_still(read: Callable[[], Count], every_s: float = 0.3, within_s: float = 30.0) -> Count:
    """What two readings in a row agree on."""
    ends = time.monotonic() + within_s
    seen = read()
    while time.monotonic() < ends:
        time.sleep(every_s)
        before, seen = seen, read()
        if seen == before:
            return seen
    raise AssertionError(f"still counting after {within_s} s: {seen}")
