"""A release as it is played while requests come: good model up and back, then broken ones.

Knows the registry and what the server says of itself; not who asks, nor what is measured.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Final
from urllib.request import urlopen

import orjson

from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import PATH, State
from bench.released import variants

SOURCE: Final = Path("model_repository")
ROLLED_BACK_WITHIN_S: Final = 120.0
BROKEN: Final = 3.0
"""What the broken model multiplies click rates with."""
READY_WITHIN_S: Final = 180.0
ANSWERS: Final = 6


@dataclass(slots=True)
class Release:
    """The story that is played while requests come."""

    url: str
    registry: Registry
    models: Path
    """Where the models to be registered are made."""
    hold_s: float
    still_s: float
    """Before the first move: the same load without a release."""
    breaks: tuple[State, ...]
    """States in which a broken model is tried."""
    marks: list[tuple[str, float]] = field(default_factory=list)
    """What happened when, on the monotonic clock."""
    gone_after: dict[str, float | None] = field(default_factory=dict)
    """Seconds from a broken model's first request to its retirement, by its state."""
    _made: dict[str, Path] = field(default_factory=dict)

    def prepare(self) -> None:
        """Make the models: whoever exports one does it elsewhere."""
        self._make("good", rate=1.05, shift=0.02)
        for state in self.breaks:
            self._make(f"broken-{state}", rate=BROKEN)

    async def play(self) -> None:
        """All of it, in the order of the first lines of `bench.release`."""
        await asyncio.sleep(self.still_s)
        good = await self._register("good")
        with contextlib.suppress(RegistryError):  # it was rolled back: a figure, not an error
            for up in PATH[1:]:
                await self._move(str(up), partial(self._up, good, up))
            await self._move("rollback", partial(self._roll_back, good))
        for state in self.breaks:
            await self._breaks(await self._register(f"broken-{state}"), state)

    def mark(self, what: str) -> None:
        self.marks.append((what, time.monotonic()))

    def _make(self, name: str, **change: float) -> None:
        source = SOURCE / "ctr_ranker" / "1"
        self._made[name] = variants.variant(source, self.models / name, **change)

    async def _register(self, name: str) -> int:
        self.mark(f"register {name}")
        return await asyncio.to_thread(self.registry.register, self._made[name], _now_ms())

    async def _move(self, what: str, change: Callable[[], object]) -> None:
        """Make a move, wait until it shows, and hold."""
        self.mark(what)
        await asyncio.to_thread(change)
        await self._shows()
        self.mark(f"{what} in effect")
        await asyncio.sleep(self.hold_s)

    async def _shows(self) -> None:
        """Several answers in a row as the record says, so that all workers are likely to have been
        asked."""
        async with asyncio.timeout(READY_WITHIN_S):
            agreed = 0
            while agreed < ANSWERS:
                agreed = agreed + 1 if await asyncio.to_thread(self._agrees) else 0
                await asyncio.sleep(0.1)

    def _agrees(self) -> bool:
        with urlopen(f"{self.url}/readyz", timeout=10) as answer:
            told = orjson.loads(answer.read())
        traffic = self.registry.traffic()
        trial = {"canary": traffic.canary, "shadow": traffic.shadow}
        wanted = {arm: version for arm, version in trial.items() if version}
        return bool((told["model"], told["on_trial"]) == (traffic.production, wanted))

    async def _breaks(self, version: int, state: State) -> None:
        self.mark(f"broken {state}")
        await asyncio.to_thread(self._up, version, state)
        await self._shows()
        self.mark(f"broken {state} in effect")
        began = time.monotonic()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(ROLLED_BACK_WITHIN_S):
                while not self._is_gone(version):  # noqa: ASYNC110
                    await asyncio.sleep(0.1)
        gone = time.monotonic() - began if self._is_gone(version) else None
        self.gone_after[str(state)] = gone
        self.mark(f"broken {state} gone")
        await asyncio.sleep(2.0)

    def _is_gone(self, version: int) -> bool:
        return self.registry.read().states[version] is State.RETIRED

    def _up(self, version: int, to: State) -> None:
        self.registry.promote(version, to, _now_ms(), "a trial of the release", {})

    def _roll_back(self, version: int) -> None:
        self.registry.roll_back(version, _now_ms(), "a trial of the release", {})


def _now_ms() -> int:
    return int(time.time() * 1000)
