"""What a step of the loop takes and leaves."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from adserver.loop.journal import State
from adserver.loop.settings import LoopSettings
from simulator.market.market import Market

Heard = Callable[[str, float], None]


@dataclass(frozen=True, slots=True)
class Run:
    """One run of the loop: where it is, and what it is made of."""

    folder: Path
    settings: LoopSettings
    market: Market
    heard: Heard

    def day(self, day: int) -> Path:
        """Folder of what a day left."""
        return self.folder / "days" / str(day)


@dataclass(frozen=True, slots=True)
class Done:
    """What a step leaves."""

    state: State
    facts: dict[str, Any] = field(default_factory=dict)
    outputs: tuple[Path, ...] = ()


def done(
    state: State,
    facts: dict[str, Any] | None = None,
    outputs: tuple[Path, ...] = (),
    **changes: Any,
) -> Done:
    """With the state's fields that the step changed."""
    return Done(msgspec.structs.replace(state, **changes), facts or {}, outputs)


Act = Callable[[Run, int, State], Done]


@dataclass(frozen=True, slots=True)
class Step:
    name: str
    act: Act
