"""The bulk replay of counters and histories against those that serve, on one small market."""

from __future__ import annotations

import numpy as np
import pytest

from adserver.features.cells import place_hash
from adserver.features.counters import Counters
from adserver.features.profiles import Profiles
from adserver.features.replay import TICK_MS, Decided, Events, Keys, Replay, place_cells
from adserver.state.memory import MemoryStore
from ranking.counts import COUNTS, EACH, KEYS, place_cell
from ranking.features import BAG

START = 1_793_500_000_000 // TICK_MS * TICK_MS
ADS, PEOPLE, VISITS = 30, 5, 300
STRETCH_MS = 3 * TICK_MS * 60
PLACES = [place_hash(f"z{number}") for number in range(4)]


@pytest.fixture(scope="module")
def keys():
    rng = np.random.default_rng(1)
    return Keys(
        ad=rng.permutation(200)[:ADS] + 1,
        advertiser=rng.integers(1, 9, ADS),
        topic=rng.integers(0, 27, ADS),  # 0 is an ad without a category
        place=np.array(PLACES, np.uint64),
    )


@pytest.fixture(scope="module")
def stretches():
    """Three stretches of visits with one or two ads each, and what people did, some of it late."""
    rng = np.random.default_rng(2)
    return [_stretch(START + number * STRETCH_MS, rng) for number in range(3)]


def _stretch(start, rng):
    time_ms = start + np.sort(rng.integers(0, STRETCH_MS, VISITS))
    time_ms[0], time_ms[1] = start, start + TICK_MS  # at ticks
    of = np.repeat(np.arange(VISITS, dtype=np.int32), rng.integers(1, 3, VISITS))
    ad = rng.integers(0, ADS, len(of)).astype(np.int32)
    placement = rng.integers(0, len(PLACES), len(of)).astype(np.int32)
    decided = Decided(time_ms, rng.integers(0, PEOPLE, VISITS), of, ad, placement)
    person, rendered = decided.person[of], time_ms[of] + 1000
    hit = rng.random(len(of)) < 0.3
    late = rng.integers(0, STRETCH_MS, len(of))
    shown = Events(rendered, person, ad, placement, np.zeros(len(of), bool))
    clicked = Events(rendered + late, person, ad, placement, np.ones(len(of), bool)).where(hit)
    return decided, shown.joined(clicked)


@pytest.fixture(scope="module")
def replayed(keys, stretches):
    replay = Replay(keys, PEOPLE, START)
    return [
        replay.play(decided, events, START + (number + 1) * STRETCH_MS)
        for number, (decided, events) in enumerate(stretches)
    ]


@pytest.fixture(scope="module")
def served(keys, stretches):
    """Event by event through the counters and profiles of a worker that ticks each minute."""
    counters, profiles = Counters(MemoryStore()), Profiles(MemoryStore())
    happening = [
        (int(t), 0, number, events, row)
        for number, (_, events) in enumerate(stretches)
        for row, t in enumerate(events.time_ms)
    ]
    last = START + len(stretches) * STRETCH_MS
    happening += [(tick, 1) for tick in range(START, last, TICK_MS)]
    happening += [
        (int(t), 2, number, decided, row)
        for number, (decided, _) in enumerate(stretches)
        for row, t in enumerate(decided.time_ms)
    ]
    found = []
    for t, kind, *what in sorted(happening, key=lambda one: one[:3]):
        if kind == 0:
            _, events, row = what
            ad, hit = events.ad[row], bool(events.clicked[row])
            place = PLACES[events.placement[row]]
            counters.witness(int(keys.ad[ad]), int(keys.advertiser[ad]), place, hit)
            profiles.witness(int(events.person[row]) + 1, int(keys.topic[ad]), hit, t)
            profiles.flush()
        elif kind == 1:
            counters.tend(t)
        else:
            found.append(_look(counters, profiles, keys, *what[1:]))
    return found


def _look(counters, profiles, keys, decided, row):
    """[rows of the visit, COUNTS], clicked and seen topics, as a decision gets them."""
    known = profiles.look([int(decided.person[row]) + 1], int(decided.time_ms[row]))
    counts = []
    for at in np.flatnonzero(decided.of == row):
        ad, board = decided.ad[at], counters.board
        number, owner = int(keys.ad[ad]), int(keys.advertiser[ad])
        parts = [
            board.ad[number] if number < len(board.ad) else np.zeros(EACH, np.float32),
            board.advertiser[owner] if owner < len(board.advertiser) else np.zeros(EACH),
            board.place[place_cell(number, PLACES[decided.placement[at]])],
            known.topic[0, keys.topic[ad]],
        ]
        counts.append(np.concatenate(parts))
    return np.array(counts, np.float32), known.clicked[0], known.seen[0]


def test_counts_are_those_of_the_counters_that_serve_bit_for_bit(replayed, served):
    expected = np.concatenate([one[0] for one in served]).reshape(-1, len(KEYS), EACH)
    found = np.concatenate([one.counts for one in replayed]).reshape(-1, len(KEYS), EACH)

    assert (np.abs(expected).max(axis=0) > 0).all()
    assert found[:, :3].tobytes() == expected[:, :3].tobytes()
    assert found[:, 3] == pytest.approx(expected[:, 3], rel=1e-5, abs=1e-6)


def test_histories_are_those_of_the_profiles_that_serve(replayed, served):
    padded = [[one + [0] * (BAG - len(one)) for one in visit[1:]] for visit in served]

    assert np.concatenate([one.clicked for one in replayed]).tolist() == [a for a, _ in padded]
    assert np.concatenate([one.seen for one in replayed]).tolist() == [b for _, b in padded]


def test_a_click_counts_only_after_it_came(keys):
    """Looked at before and after its minute."""
    time_ms = START + np.array([0, 5, 9]) * TICK_MS
    zeros = np.zeros(3, np.int32)
    decided = Decided(time_ms, np.zeros(3, np.int64), np.arange(3, dtype=np.int32), zeros, zeros)
    one = zeros[:1]
    click = Events(np.array([START + 7 * TICK_MS + 1]), one.astype(np.int64), one, one, one == 0)

    counts = Replay(keys, 1, START).play(decided, click, START + 10 * TICK_MS).counts

    assert counts.shape == (3, COUNTS)
    assert not counts[:2].any()
    assert counts[2].any()


def test_cells_of_ads_in_placements_are_those_of_the_definition():
    ads, places = np.arange(1, 300), np.array(PLACES * 75, np.uint64)[:299]

    expected = [place_cell(*one) for one in zip(ads.tolist(), places.tolist(), strict=True)]
    assert place_cells(ads, places).tolist() == expected
