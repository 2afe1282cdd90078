"""Which moves there are between the states of a model, as pure values."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver.releases.states import (
    ON_TRIAL,
    PATH,
    Move,
    MoveRefused,
    Releases,
    State,
    expendable,
    next_state,
    promoted,
    registered,
    rolled_back,
    traffic,
    without,
)

FRESH = Releases("salt", {1: State.PRODUCTION})


def with_candidate(releases: Releases = FRESH, version: int = 2) -> Releases:
    return registered(releases, version, 5, "trained")


def up(releases: Releases, version: int, steps: int = 1) -> Releases:
    for _ in range(steps):
        move = Move(10, version, next_state(releases, version), reason="it did well")
        releases = promoted(releases, move)
    return releases


def test_a_candidate_goes_up_step_by_step_and_replaces_who_was_in_production():
    seen, releases = [], with_candidate()
    for _ in range(4):
        releases = up(releases, 2)
        seen.append(releases.states[2])

    assert tuple(seen) == PATH[1:]
    assert releases.states == {1: State.RETIRED, 2: State.PRODUCTION}
    assert [(m.version, m.to) for m in releases.moves[-2:]] == [
        (1, State.RETIRED),
        (2, State.PRODUCTION),
    ]


def test_a_shadow_decides_nothing_and_a_canary_its_share():
    shadow = traffic(up(with_candidate(), 2))
    canary = traffic(up(with_candidate(), 2, 2))
    wider = traffic(up(with_candidate(), 2, 3))

    assert (shadow.production, shadow.shadow, shadow.canary, shadow.share_ppm) == (1, 2, 0, 0)
    assert (canary.canary, canary.share_ppm, canary.shadow) == (2, 10_000, 0)
    assert (wider.canary, wider.share_ppm) == (2, 100_000)


def test_who_is_in_a_canary_stays_in_it_when_it_grows_and_another_canary_has_others():
    small, wide = traffic(up(with_candidate(), 2, 2)), traffic(up(with_candidate(), 2, 3))
    other = traffic(up(with_candidate(rolled_back(up(with_candidate(), 2), 2, 9, "", {}), 3), 3, 2))

    assert small.salt == wide.salt != other.salt


def test_only_one_version_is_on_trial():
    releases = with_candidate(up(with_candidate(), 2), 3)

    with pytest.raises(MoveRefused, match="version 2 is shadow: one at a time"):
        up(releases, 3)


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_a_version_on_its_way_up_can_be_rolled_back_and_costs_production_nothing(steps):
    releases = rolled_back(up(with_candidate(), 2, steps), 2, 20, "COPC 3", {"copc": 3.0})

    assert releases.states == {1: State.PRODUCTION, 2: State.RETIRED}
    assert releases.moves[-1].numbers == {"copc": 3.0}


def test_production_rolled_back_returns_to_the_version_before():
    releases = up(with_candidate(), 2, 4)
    releases = rolled_back(releases, 2, 20, "revenue", {})

    assert releases.states == {1: State.PRODUCTION, 2: State.RETIRED}


def test_the_only_version_cannot_be_rolled_back():
    with pytest.raises(MoveRefused, match="none to return to"):
        rolled_back(FRESH, 1, 20, "", {})


@pytest.mark.parametrize(
    ("move", "why"),
    [
        (Move(1, 9, State.SHADOW), "no version 9; there are 1, 2"),
        (Move(1, 2, State.CANDIDATE), "version 2 is candidate: no way up"),
        (Move(1, 1, State.SHADOW), "version 1 is production: no way up"),
        (Move(1, 2, State.RETIRED), "no way up to retired"),
    ],
)
def test_a_move_that_leads_nowhere_is_refused(move, why):
    with pytest.raises(MoveRefused, match=why):
        promoted(with_candidate(), move)


def test_a_repository_without_production_says_what_to_do():
    with pytest.raises(MoveRefused, match="--to production"):
        traffic(registered(Releases("salt"), 1, 0, "cold"))


def test_old_retired_versions_go_but_never_the_one_to_return_to():
    releases = FRESH
    for version in range(2, 9):
        releases = up(with_candidate(releases, version), version, 4)
    failed = with_candidate(releases, 9)
    for version in range(9, 12):
        failed = rolled_back(with_candidate(releases, version), version, 1, "", {})
        releases = failed

    gone = expendable(releases, keep=2)

    assert gone == {1, 2, 3, 4, 5, 6, 9}
    assert releases.last_production == 7
    assert without(releases, gone).states.keys() == {7, 8, 10, 11}


@pytest.mark.parametrize("keep", range(6))
@pytest.mark.parametrize("retired", range(8))
def test_as_many_retired_versions_stay_as_are_to_be_kept(retired, keep):
    releases = FRESH
    for version in range(2, 2 + retired):
        releases = rolled_back(with_candidate(releases, version), version, 1, "", {})

    gone = expendable(releases, keep)

    assert gone == set(range(2, 2 + max(0, retired - keep)))


@given(st.lists(st.integers(0, 9), max_size=60))
def test_whatever_is_asked_one_version_is_in_production_and_one_at_most_on_trial(wishes):
    releases = FRESH
    for at, wish in enumerate(wishes):
        version = wish % 3 + max(releases.states) - 1
        try:
            if wish == 9:
                releases = registered(releases, releases.newest + 1, at, "")
            elif wish >= 6:
                releases = rolled_back(releases, version, at, "", {})
            else:
                releases = promoted(releases, Move(at, version, next_state(releases, version)))
        except MoveRefused:
            continue

        states = list(releases.states.values())
        assert states.count(State.PRODUCTION) == 1
        assert sum(state in ON_TRIAL for state in states) <= 1
        replayed = {1: State.PRODUCTION}
        for move in releases.moves:
            assert replayed.get(move.version) == move.before
            replayed[move.version] = move.to
        assert replayed == releases.states
