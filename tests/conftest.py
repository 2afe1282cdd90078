"""Small real things that many tests share: a clock that is moved by hand, a seeded generator."""

from __future__ import annotations

import os
import platform

import numpy as np
import pytest

import adserver  # noqa: F401 - decides where kernels are kept, before numba is imported

# Kernels in the Triton language run in its interpreter, which is chosen when it is first imported.
os.environ.setdefault("TRITON_INTERPRET", "1")
# The language exists for Linux only; there a test that lacks it fails.
collect_ignore_glob = [] if platform.system() == "Linux" else ["*/gpu/*"]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config, log):
    from side_by_side import SideBySide

    config.option.loadscopereorder = False
    return SideBySide(config, log)


def pytest_collection_modifyitems(config, items):
    """Only where the suite is shared between processes."""
    if hasattr(config, "workerinput"):
        from side_by_side import place_in_line

        items.sort(key=lambda item: place_in_line(item.nodeid))


class FakeClock:
    """A clock that moves only when told to."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
