"""Which versions are held against whom, and what becomes of them: on records and sums alone."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from adserver.releases import states
from adserver.releases.guardrails import Call, Case, Verdict
from adserver.releases.judging import Phases, Ruling, carried_out, ruling, watches
from adserver.releases.limits import Limits
from adserver.releases.states import Move, MoveRefused, Releases, State
from adserver.releases.statistics import Stats

BROKEN = Stats(requests=100_000, errors=50_000)


def released(*moves: tuple[int, State]) -> Releases:
    """Version 1 in production, then these moves, a minute apart."""
    found = Releases("salt", {1: State.PRODUCTION})
    for minute, (version, to) in enumerate(moves, 1):
        if to is State.CANDIDATE:
            found = states.registered(found, version, 60_000 * minute, "")
        elif to is State.RETIRED:
            found = states.rolled_back(found, version, 60_000 * minute, "", {})
        else:
            found = states.promoted(found, Move(60_000 * minute, version, to))
    return found


UP = tuple((2, state) for state in states.PATH)


def test_nothing_is_watched_while_nothing_was_ever_released():
    assert list(watches(Releases("", {1: State.PRODUCTION, 2: State.CANDIDATE}))) == []


@pytest.mark.parametrize("steps", [2, 3, 4])
def test_a_version_on_trial_is_held_against_production_of_the_same_time(steps):
    (watch,) = watches(released(*UP[:steps]))

    assert (watch.version, watch.state, watch.control) == (2, UP[steps - 1][1], 1)
    assert watch.phases == watch.control_phases == Phases(steps, steps)
    assert watch.before == Phases(2, steps)  # since it left the candidates
    assert watch.age_s(60_000 * steps + 5_000) == 5.0


def test_a_registration_during_a_trial_ends_no_statistics():
    (watch,) = watches(released(*UP[:3], (3, State.CANDIDATE), (4, State.CANDIDATE)))

    assert watch.phases == Phases(3, 5)
    assert watch.since_ms == 3 * 60_000


def test_a_new_production_begins_a_trial_anew():
    """Its rival was held against another model before."""
    moves = [*UP, (3, State.CANDIDATE), (3, State.SHADOW), (2, State.RETIRED)]

    (watch,) = watches(released(*moves))

    assert (watch.version, watch.control, watch.before) == (3, 1, watch.phases)
    assert watch.phases.first == watch.phases.last


def test_a_promoted_version_is_held_against_what_its_predecessor_did_before():
    (watch,) = watches(released(*UP))

    assert (watch.version, watch.state, watch.control) == (2, State.PRODUCTION, 1)
    assert watch.phases == Phases(6, 6)  # the fifth is that of its predecessor's retirement
    assert watch.control_phases == watch.before == Phases(0, 5)


def test_a_version_that_came_back_is_not_held_against_the_one_that_was_rolled_back():
    assert list(watches(released(*UP, (2, State.RETIRED)))) == []


def test_production_and_the_next_trial_are_watched_together():
    found = [one.version for one in watches(released(*UP, (3, State.CANDIDATE), (3, State.SHADOW)))]

    assert found == [2, 3]


def test_phases_are_counted_on_when_old_moves_are_forgotten():
    known = released(*UP[:3])
    short = Releases("salt", known.states, known.moves[2:], forgotten=2)

    (watch,) = watches(short)

    assert watch.phases == Phases(3, 3)


def test_a_production_that_breaks_within_its_watch_gives_way_and_later_does_not():
    (watch,) = watches(released(*UP))
    found = {watch.phases: {2: BROKEN}}

    soon, late = (
        ruling(watch, lambda phases: found.get(phases, {}), Limits(), watch.since_ms + 1000 * age)
        for age in (60, 4000)
    )

    assert (soon.verdict.call, late.verdict.call) == (Call.ROLL_BACK, Call.KEEP)
    after = carried_out(released(*UP), soon, 10**9)
    assert after.states == {1: State.PRODUCTION, 2: State.RETIRED}
    assert "automatic: too many errors" in after.moves[-2].reason
    assert after.moves[-2].numbers["errors"] == 0.5


def test_an_advance_is_one_step_with_its_numbers():
    before = released(*UP[:2])
    (watch,) = watches(before)
    case = Case(watch.state, 1.0, Stats(), Stats())
    ruled = Ruling(
        watch, case, Limits(), Verdict(Call.ADVANCE, "every limit is kept", {"copc": 1.0})
    )

    after = carried_out(before, ruled, 10**9)

    assert after.states[2] is State.CANARY_1
    assert (after.moves[-1].numbers, after.moves[-1].at_ms) == ({"copc": 1.0}, 10**9)


def test_a_ruling_on_a_record_that_has_changed_moves_nothing():
    before = released(*UP[:3])
    (watch,) = watches(before)
    ruled = Ruling(watch, None, Limits(), Verdict(Call.ROLL_BACK, "too slow"))
    meanwhile = states.promoted(before, Move(1, 2, State.CANARY_10))

    with pytest.raises(MoveRefused, match="meanwhile"):
        carried_out(meanwhile, ruled, 10**9)


def test_the_page_of_the_limits_names_each_with_its_default():
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text()
    rows = [line.split("|")[1:3] for line in page.splitlines() if line.startswith("| `")]
    told = {}
    for names, values in rows:
        told |= zip(
            names.replace("`", "").replace(" ", "").split(","), values.split(","), strict=False
        )

    for limit in fields(Limits):
        assert float(told[limit.name].replace("`", "")) == limit.default, limit.name


def test_what_the_gate_measured_is_what_a_shadow_must_show():
    """A model that has learnt a lot correlates little, and one that is served wrongly less."""
    assert Limits().expecting(None).correlation == 0.9
    assert Limits().expecting(0.4).correlation == pytest.approx(0.2)
    assert Limits().expecting(0.99).correlation == pytest.approx(0.79)
    assert Limits(correlation=0.3).expecting(0.99).correlation == 0.3
