"""What a figure of the GPU bench is, on what it was measured, and how time is taken there.

A figure without a CUDA device is printed with the value null and the reason under "unmeasured".
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch

Line = dict[str, Any]
NO_DEVICE = "no CUDA device"
WARM_UP = 3
FEWEST = 10


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What this very device was measured to do at most."""

    copy_bytes_per_s: float
    """Bytes read plus bytes written."""
    int8_ops_per_s: float
    """Multiplications plus additions in a large INT8 matrix product."""
    fp16_ops_per_s: float

    def floor_s(self, bytes_: float, int8_ops: float) -> float:
        """Below this no kernel that moves and computes so much can come."""
        return max(bytes_ / self.copy_bytes_per_s, int8_ops / self.int8_ops_per_s)


@dataclass(frozen=True, slots=True)
class Machine:
    """Where the bench runs."""

    name: str
    cuda: bool
    quick: bool
    ceilings: Ceilings | None = None
    """None without a device."""

    @property
    def device(self) -> torch.device:
        """Where tensors go: kernels on CPU tensors run in the language's interpreter."""
        return torch.device("cuda" if self.cuda else "cpu")


def found(quick: bool) -> Machine:
    """This machine, its ceilings not measured yet."""
    if not torch.cuda.is_available():
        return Machine("none: CPU, interpreted", False, quick)
    return Machine(torch.cuda.get_device_name(), True, quick)


def line(figure: str, value: float | None, unit: str, **about: Any) -> Line:
    """One figure; `passed` among `about` makes it a check, which fails the run if False."""
    return {"figure": figure, "value": value, "unit": unit, **about}


def unmeasured(figure: str, unit: str, reason: str = NO_DEVICE, **about: Any) -> Line:
    """A figure that this machine cannot give, and why."""
    return line(figure, None, unit, unmeasured=reason, **about)


def seconds_each(works: Sequence[Callable[[], object]], least_s: float = 0.2) -> list[float]:
    """Median device time of each call, taken in turn by events; CUDA only.

    Give the same work on several sets of data that exceed the L2 cache together, else the cache is
    what is measured.
    """
    for _ in range(WARM_UP):
        for work in works:
            work()
    torch.cuda.synchronize()
    took: list[list[float]] = [[] for _ in works]
    until = time.monotonic() + least_s
    while time.monotonic() < until or len(took[0]) < FEWEST:
        marks = [torch.cuda.Event(enable_timing=True) for _ in range(len(works) + 1)]  # type: ignore[no-untyped-call]
        for work, mark in zip(works, marks, strict=False):
            mark.record()
            work()
        marks[-1].record()
        marks[-1].synchronize()
        for times, start, end in zip(took, marks, marks[1:], strict=False):
            times.append(start.elapsed_time(end) / 1e3)
    return [median(times) for times in took]
