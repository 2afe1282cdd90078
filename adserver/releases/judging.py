"""Which versions are watched, over which phases and beside whom, and what follows from a verdict.

Pure: from a record of releases to the next. It knows neither where numbers are kept nor who asks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from adserver.releases import states
from adserver.releases.guardrails import WATCHED, Call, Case, Verdict, verdict
from adserver.releases.limits import Limits
from adserver.releases.states import ON_TRIAL, Move, MoveRefused, Releases, State
from adserver.releases.statistics import Stats


class Phases(NamedTuple):
    """From the first to the last, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Watch:
    """One version that is held against another."""

    version: int
    state: State
    since_ms: int
    """Since when it is in this state beside this production."""
    phases: Phases
    """Whose statistics count: registrations make phases too, and change nothing of a trial."""
    control: int
    """Production; of a version in production, its predecessor. 0: nobody."""
    control_phases: Phases
    before: Phases
    """Of the whole trial, states before this one included."""

    def age_s(self, now_ms: int) -> float:
        return max(0.0, (now_ms - self.since_ms) / 1000)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a verdict is on: it holds only while nobody else has moved anything."""

    watch: Watch
    case: Case | None
    """None where a promoted version has been watched for its time."""
    limits: Limits
    verdict: Verdict

    @property
    def moves(self) -> bool:
        return self.verdict.call is not Call.KEEP


Find = Callable[[Phases], dict[int, Stats]]
"""What each version did in these phases."""


def watches(releases: Releases) -> Iterator[Watch]:
    """The version in production, while it may have to give way; then the one on trial."""
    promoted = _promotion(releases)
    if promoted:
        yield promoted
    for state in reversed(ON_TRIAL):
        version = releases.of(state)
        if version is not None:
            yield _on_trial(releases, version, state)


def _promotion(releases: Releases) -> Watch | None:
    """Of production, if it rose to it; one that returned after a rollback has nobody to yield to,
    least of all the version that was rolled back."""
    production, at = releases.of(State.PRODUCTION), _last_move(releases, _to_production)
    if production is None or at is None or releases.moves[at].before is State.RETIRED:
        return None
    heir = releases.last_production
    if heir is None:
        return None
    rose = releases.forgotten + at + 1
    return Watch(
        production,
        State.PRODUCTION,
        releases.moves[at].at_ms,
        Phases(rose, releases.phase),
        heir,
        Phases(0, rose - 1),
        Phases(0, rose - 1),
    )


def _on_trial(releases: Releases, version: int, state: State) -> Watch:
    def matters(move: Move) -> bool:
        return move.version == version or State.PRODUCTION in (move.before, move.to)

    at = _last_move(releases, matters)
    since = 0 if at is None else releases.moves[at].at_ms
    first = 0 if at is None else releases.forgotten + at + 1
    phases = Phases(first, releases.phase)
    before = Phases(_trial_began(releases, version), releases.phase)
    return Watch(version, state, since, phases, releases.of(State.PRODUCTION) or 0, phases, before)


def _trial_began(releases: Releases, version: int) -> int:
    """The phase since which the version has been on trial beside this production."""
    began = 0
    for at, move in enumerate(releases.moves, releases.forgotten + 1):
        left = move.version == version and move.before is State.CANDIDATE
        if left or State.PRODUCTION in (move.before, move.to):
            began = at
    return began


def ruling(watch: Watch, find: Find, limits: Limits, now_ms: int) -> Ruling:
    """On a watched version as of now; a production beyond its watch is let be."""
    age = watch.age_s(now_ms)
    if watch.state is State.PRODUCTION and age > limits.watch_s:
        return Ruling(watch, None, limits, Verdict(Call.KEEP, WATCHED))
    case = Case(
        watch.state,
        age,
        find(watch.phases).get(watch.version, Stats()),
        find(watch.control_phases).get(watch.control, Stats()),
        find(watch.before).get(watch.control, Stats()),
    )
    return Ruling(watch, case, limits, verdict(case, limits))


def carried_out(releases: Releases, ruled: Ruling, at_ms: int) -> Releases:
    """The record after the ruling; MoveRefused if it was on another record."""
    watch, said = ruled.watch, ruled.verdict
    if releases.phase != watch.phases.last:
        raise MoveRefused("somebody else moved a version meanwhile")
    reason, numbers = f"automatic: {said.reason}", said.numbers
    if said.call is Call.ROLL_BACK:
        return states.rolled_back(releases, watch.version, at_ms, reason, numbers)
    if said.call is Call.ADVANCE:
        to = states.next_state(releases, watch.version)
        return states.promoted(releases, Move(at_ms, watch.version, to, None, reason, numbers))
    return releases


def _to_production(move: Move) -> bool:
    return move.to is State.PRODUCTION


def _last_move(releases: Releases, wanted: Callable[[Move], bool]) -> int | None:
    """Its place among the moves that are remembered."""
    places = range(len(releases.moves) - 1, -1, -1)
    return next((at for at in places if wanted(releases.moves[at])), None)
