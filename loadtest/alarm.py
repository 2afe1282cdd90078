"""Wake-up calls within tens of microseconds, for event loops that count in milliseconds.

uvloop's and asyncio's own timers are rounded to a millisecond, which an open-loop measurement
would report as the server's latency. Linux's timerfd is exact; elsewhere the loop's timer is used.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
from collections.abc import Callable
from time import monotonic

_MONOTONIC = 1
_NONBLOCK = os.O_NONBLOCK
_CLOEXEC = getattr(os, "O_CLOEXEC", 0)
_ABSOLUTE = 1
_NANO = 1_000_000_000


class _Spec(ctypes.Structure):
    """struct itimerspec: interval, then the moment; seconds and nanoseconds each."""

    _fields_ = (
        ("interval_s", ctypes.c_long),
        ("interval_ns", ctypes.c_long),
        ("at_s", ctypes.c_long),
        ("at_ns", ctypes.c_long),
    )


class Alarm:
    """Calls back once for every time that it is set; setting it again moves it."""

    def __init__(self, loop: asyncio.AbstractEventLoop, ring: Callable[[], None]) -> None:
        self._loop, self._ring = loop, ring
        self._timer: asyncio.TimerHandle | None = None
        self._set_again = False
        self._libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
        self._fd = self._libc.timerfd_create(_MONOTONIC, _NONBLOCK | _CLOEXEC) if self._libc else -1
        if self._fd >= 0:
            loop.add_reader(self._fd, self._expired)

    def set(self, at: float) -> None:
        """Ring at `at` on the monotonic clock; at once if it has passed."""
        if self._fd < 0:
            self._timer = self._loop.call_later(max(0.0, at - monotonic()), self._ring)
            return
        self._set_again = True
        self._arm(int(at), int(at % 1 * _NANO))

    def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        if self._fd >= 0:
            self._loop.remove_reader(self._fd)
            os.close(self._fd)
            self._fd = -1

    def _expired(self) -> None:
        """Setting the timer again quiets it, which saves reading it."""
        self._set_again = False
        self._ring()
        if not self._set_again and self._fd >= 0:
            self._arm(0, 0)

    def _arm(self, at_s: int, at_ns: int) -> None:
        assert self._libc is not None
        spec = _Spec(0, 0, at_s, at_ns)
        self._libc.timerfd_settime(self._fd, _ABSOLUTE, ctypes.byref(spec), None)
