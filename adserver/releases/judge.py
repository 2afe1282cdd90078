"""Sits over the versions on trial every few seconds: one worker of all that share a store.

When the one whose turn it is dies, another takes its turn within `TURN_MS`; should two sit at
once, the second finds that the record has changed. Times are wall milliseconds and come as
arguments.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import structlog

from adserver import arm_metrics
from adserver.releases import judging
from adserver.releases.collecting import RECENT, forget, statistics
from adserver.releases.guardrails import Call
from adserver.releases.judging import Phases, Ruling, Watch
from adserver.releases.limits import Limits
from adserver.releases.packing import read_manifest
from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import Releases, State
from adserver.releases.statistics import Stats
from adserver.state.store import StateStore, Values

EVERY_MS: Final = 2_000
"""Between two sittings."""
TURN_MS: Final = 8_000
"""Who has not sat for so long has lost the turn."""
CORRELATION: Final = "correlation of log-odds"
"""What the gate calls the check whose value a shadow is expected to show."""
_TURN: Final = b"trial/turn"
_Turn = struct.Struct("<qq")
log = structlog.get_logger()


@dataclass(slots=True)
class Judge:
    """One worker's. `sit` is called from one thread at a time."""

    registry: Registry
    store: StateStore
    worker: int
    limits: Limits
    promotes: bool
    """Also moves versions up; it rolls back in any case."""
    rulings: tuple[Ruling, ...] = ()
    """Of the last sitting."""
    _sat_ms: int = -(1 << 60)
    _said: str = ""

    def sit(self, now_ms: int) -> None:
        """Judge what is watched, when it is time and this worker's turn.

        StoreFailed and RegistryError where the store or the record cannot be read.
        """
        if 0 <= now_ms - self._sat_ms < EVERY_MS:
            return
        self._sat_ms = now_ms
        releases = self.registry.read()
        self.rulings = ()
        if not any(judging.watches(releases)) or not self._takes_turn(now_ms):
            return
        self.rulings = rulings(releases, self.registry, self.store, self.limits, now_ms)
        forget(self.store, releases.phase - RECENT + 1)
        for one in self.rulings:
            if one.verdict.call is Call.ROLL_BACK or (one.moves and self.promotes):
                self._carry_out(one, now_ms)
                return  # the others are on a record that has changed

    def _takes_turn(self, now_ms: int) -> bool:
        def change(found: Values) -> tuple[Values, bool]:
            at_ms, leader = _Turn.unpack(found[0]) if found[0] else (0, -1)
            mine = leader == self.worker or not 0 <= now_ms - at_ms < TURN_MS
            return [_Turn.pack(now_ms, self.worker) if mine else found[0]], mine

        return self.store.update([_TURN], change)

    def _carry_out(self, ruled: Ruling, now_ms: int) -> None:
        version, said = ruled.watch.version, ruled.verdict
        try:
            self.registry.change(lambda found: judging.carried_out(found, ruled, now_ms))
        except (RegistryError, OSError) as error:
            self._tell(f"version {version}: {said.call}, {said.reason}: {error}")
            return
        arm_metrics.MOVED.labels(str(said.call)).inc()
        log.warning(
            "release", version=version, call=str(said.call), reason=said.reason, **said.numbers
        )

    def _tell(self, what: str) -> None:
        """A refusal that repeats every two seconds is told once."""
        if what != self._said:
            self._said = what
            log.error("a release cannot be moved", why=what)


def gated_correlation(manifest: Mapping[str, Any], production: int) -> float | None:
    """None unless the gate compared the version with this very production."""
    report = manifest.get("challenge")
    if not isinstance(report, Mapping) or report.get("incumbent") != production:
        return None
    for check in report.get("checks", ()):
        if check.get("name") == CORRELATION and check.get("value") is not None:
            return float(check["value"])
    return None


def rulings(
    releases: Releases, registry: Registry, store: StateStore, limits: Limits, now_ms: int
) -> tuple[Ruling, ...]:
    """On every version that is watched, as of now; changes nothing. StoreFailed."""

    def find(phases: Phases) -> dict[int, Stats]:
        return statistics(store, *phases)

    def limits_of(watch: Watch) -> Limits:
        return limits.expecting(_correlation(registry, watch))

    return tuple(
        judging.ruling(watch, find, limits_of(watch), now_ms) for watch in judging.watches(releases)
    )


def _correlation(registry: Registry, watch: Watch) -> float | None:
    """What the gate measured of a shadow and of the production it stands beside."""
    if watch.state is not State.SHADOW:
        return None
    try:
        manifest = read_manifest(registry.folder(watch.version))
    except ValueError:
        return None
    return gated_correlation(manifest, watch.control)
