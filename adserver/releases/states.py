"""The states of released models, and which moves between them there are.

Pure values: from a record of releases and a wish to a new record, or a refusal that says why.
It knows neither files nor traffic nor why somebody wishes.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

import msgspec

MOST_MOVES: Final = 2_000
"""Moves kept; what is older is only counted. A release makes five."""


class State(StrEnum):
    """What a version does."""

    CANDIDATE = "candidate"  # registered; does nothing
    SHADOW = "shadow"  # scores what others decide
    CANARY_1 = "canary1"  # decides 1 % of the requests
    CANARY_10 = "canary10"
    PRODUCTION = "production"  # decides all others
    RETIRED = "retired"  # was rolled back or replaced


PATH: Final = tuple(state for state in State if state is not State.RETIRED)
"""The way up."""
SHARE_PPM: Final = MappingProxyType({State.CANARY_1: 10_000, State.CANARY_10: 100_000})
"""Requests per million that a canary decides."""
ON_TRIAL: Final = (State.SHADOW, State.CANARY_1, State.CANARY_10)
SERVING: Final = (*ON_TRIAL, State.PRODUCTION)
"""These must be loaded wherever requests are answered."""


class MoveRefused(Exception):
    """There is no such move now; says why."""


class Move(msgspec.Struct, frozen=True, omit_defaults=True):
    """One line of the history."""

    at_ms: int
    """Wall clock."""
    version: int
    to: State
    before: State | None = None
    """None: it was new."""
    reason: str = ""
    numbers: dict[str, float] = {}
    """What the reason rests on."""


class Releases(msgspec.Struct, frozen=True):
    """All versions with their states, and how they came about."""

    salt: str
    """Decides, with a canary's number and the key of a person, who is in its share."""
    states: dict[int, State] = {}
    moves: tuple[Move, ...] = ()
    """The latest, oldest first."""
    forgotten: int = 0
    """Moves before those."""

    @property
    def phase(self) -> int:
        """Moves ever made: statistics of two phases are never mixed."""
        return self.forgotten + len(self.moves)

    def of(self, state: State) -> int | None:
        """The version in this state, if there is one; the newest of several."""
        return max((v for v, s in self.states.items() if s is state), default=None)

    @property
    def serving(self) -> tuple[int, ...]:
        """Versions that must be loaded."""
        return tuple(sorted(v for v, s in self.states.items() if s in SERVING))

    @property
    def loaded(self) -> tuple[int, ...]:
        """Versions that an inference server is to hold: those and the one that a rollback needs,
        which must not wait for it to be loaded."""
        heir = self.last_production
        return tuple(sorted({*self.serving, *([heir] if heir else [])}))

    @property
    def newest(self) -> int:
        """The highest number that any version has or had; 0 if there was none."""
        return max((*self.states, *(move.version for move in self.moves)), default=0)

    def since_ms(self, version: int) -> int:
        """When the version came into its state; 0 if that is forgotten."""
        moments = (move.at_ms for move in reversed(self.moves) if move.version == version)
        return next(moments, 0)

    @property
    def last_production(self) -> int | None:
        """The version that a rollback of production returns to."""
        for move in reversed(self.moves):
            left = move.before is State.PRODUCTION and move.to is State.RETIRED
            if left and self.states.get(move.version) is State.RETIRED:
                return move.version
        return None


class Traffic(msgspec.Struct, frozen=True):
    """Who decides and who only scores; 0 is nobody."""

    production: int
    canary: int = 0
    share_ppm: int = 0
    shadow: int = 0
    salt: str = ""
    phase: int = 0

    @property
    def versions(self) -> tuple[int, ...]:
        return tuple(sorted({self.production, self.canary, self.shadow} - {0}))


def traffic(releases: Releases) -> Traffic:
    """MoveRefused where there is no model in production."""
    production = releases.of(State.PRODUCTION)
    if production is None:
        raise MoveRefused("no version is in production: adserver models promote --to production")
    canary = releases.of(State.CANARY_10) or releases.of(State.CANARY_1) or 0
    return Traffic(
        production=production,
        canary=canary,
        share_ppm=SHARE_PPM[releases.states[canary]] if canary else 0,
        shadow=releases.of(State.SHADOW) or 0,
        salt=f"{releases.salt}/{canary}",
        phase=releases.phase,
    )


def registered(releases: Releases, version: int, at_ms: int, reason: str) -> Releases:
    """With a new candidate."""
    if version <= releases.newest:
        raise MoveRefused(f"version {version} is not new: the newest is {releases.newest}")
    return _moved(releases, Move(at_ms, version, State.CANDIDATE, reason=reason))


def promoted(releases: Releases, move: Move) -> Releases:
    """One version one step up, or further if the move says so; who was there retires.

    The first version may go into production at once: there is nobody to compare it with.
    """
    before = _state(releases, move.version)
    if not _leads_up(before, move.to):
        raise MoveRefused(f"version {move.version} is {before}: no way up to {move.to}")
    displaced = _displaced(releases, move)
    for version in displaced:
        why = f"version {move.version} took its place"
        releases = _moved(releases, Move(move.at_ms, version, State.RETIRED, reason=why))
    return _moved(releases, move)


def _leads_up(before: State, to: State) -> bool:
    return before in PATH and to in PATH and PATH.index(to) > PATH.index(before)


def _displaced(releases: Releases, move: Move) -> list[int]:
    if move.to is State.PRODUCTION:
        return [v for v, s in releases.states.items() if s is State.PRODUCTION]
    rivals = [v for v, s in releases.states.items() if s in ON_TRIAL and v != move.version]
    if rivals:
        raise MoveRefused(f"version {rivals[0]} is {releases.states[rivals[0]]}: one at a time")
    return []


def next_state(releases: Releases, version: int) -> State:
    """One step up from where it is."""
    state = _state(releases, version)
    if state not in PATH[:-1]:
        raise MoveRefused(f"version {version} is {state}: there is no step up from there")
    return PATH[PATH.index(state) + 1]


def rolled_back(
    releases: Releases, version: int, at_ms: int, reason: str, numbers: Mapping[str, float]
) -> Releases:
    """The version retires; if it was in production, the one before it returns."""
    state = _state(releases, version)
    if state is State.RETIRED:
        raise MoveRefused(f"version {version} is retired already")
    retired = Move(at_ms, version, State.RETIRED, reason=reason, numbers=dict(numbers))
    if state is not State.PRODUCTION:
        return _moved(releases, retired)
    heir = releases.last_production
    if heir is None:
        raise MoveRefused(f"version {version} is in production and there is none to return to")
    why = f"version {version} was rolled back"
    return _moved(_moved(releases, retired), Move(at_ms, heir, State.PRODUCTION, reason=why))


def without(releases: Releases, versions: set[int]) -> Releases:
    """Their files are gone; the history remembers them."""
    kept = {v: s for v, s in releases.states.items() if v not in versions}
    return msgspec.structs.replace(releases, states=kept)


def expendable(releases: Releases, keep: int) -> set[int]:
    """Retired versions beyond the newest `keep`; never the one that a rollback needs."""
    retired = sorted(v for v, s in releases.states.items() if s is State.RETIRED)
    return set(retired[: max(0, len(retired) - keep)]) - {releases.last_production}


def _state(releases: Releases, version: int) -> State:
    if version not in releases.states:
        known = ", ".join(map(str, sorted(releases.states))) or "none"
        raise MoveRefused(f"there is no version {version}; there are {known}")
    return releases.states[version]


def _moved(releases: Releases, move: Move) -> Releases:
    before = releases.states.get(move.version)
    moves = (*releases.moves, msgspec.structs.replace(move, before=before))
    drop = max(0, len(moves) - MOST_MOVES)
    return msgspec.structs.replace(
        releases,
        states={**releases.states, move.version: move.to},
        moves=moves[drop:],
        forgotten=releases.forgotten + drop,
    )
