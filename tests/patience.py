"""Waiting for what another process has to do first."""

from __future__ import annotations

import time


def until(true, within_s: float, every_s: float = 0.1) -> float:
    """Seconds until it held."""
    began = time.monotonic()
    while not true():
        assert time.monotonic() - began < within_s, f"not within {within_s} s"
        time.sleep(every_s)
    return time.monotonic() - began
