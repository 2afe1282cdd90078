"""Running counts: every store, several workers, and a plain account of what they should say."""

from __future__ import annotations

import multiprocessing

import numpy as np
import pytest

from adserver.features.cells import BLOCK, MOST_IDS, Cells, Key, place_hash
from adserver.features.counters import AT_ONCE, CELLS, GROUP, STALE_MS, Counters
from adserver.state.disk import DiskStore
from adserver.state.memory import MemoryStore
from adserver.state.store import StoreFailed, everything
from ranking.counts import PLACES, WINDOWS_S, key_features, place_cell

NOW = 1_793_500_000_000
SIZE = 256 << 20
HOME = place_hash("home/top")


@pytest.fixture
def counters(store):
    made = Counters(store)
    yield made
    assert made.check() == []


class Full:
    """A store that takes nothing while it is full."""

    def __init__(self):
        self.store, self.full = MemoryStore(), True

    def __getattr__(self, name):
        return getattr(self.store, name)

    def update(self, keys, change):
        if self.full:
            raise StoreFailed("the disk is full")
        return self.store.update(keys, change)


def plain(events, now_ms):
    """[EACH] features of one cell by the definition, in double precision: events (ms, clicked)."""
    shown = [sum(np.exp((t - now_ms) / 1000 / w) for t, c in events if not c) for w in WINDOWS_S]
    clicked = [sum(np.exp((t - now_ms) / 1000 / w) for t, c in events if c) for w in WINDOWS_S]
    rate = [np.log((c + 0.2) / (n + 20) / 0.01) for n, c in zip(shown, clicked, strict=True)]
    return [*rate, np.log1p(shown[-1])]


def stored(store, key, number):
    """The raw cell as the store has it."""
    prefix = CELLS + bytes([key]) + (number // BLOCK).to_bytes(4, "big")
    cells = Cells.of(store.get([prefix]))
    return cells, number % BLOCK


def test_a_cell_decays_by_its_windows_and_adds_up(counters, rng):
    events = []
    for step in range(40):
        now = NOW + step * 1_800_000
        for clicked in (False, False, bool(rng.random() < 0.3)):
            counters.witness(7, 3, HOME, clicked)
            events.append((now, clicked))
        counters.flush(now)
    later = NOW + 90_000_000

    counters.take(counters.read(later))

    expected = plain(events, later)
    assert counters.board.ad[7] == pytest.approx(expected, abs=1e-4)
    assert counters.board.advertiser[3] == pytest.approx(expected, abs=1e-4)
    assert counters.board.place[place_cell(7, HOME)] == pytest.approx(expected, abs=1e-4)


def test_nothing_known_is_zero(counters):
    counters.witness(7, 3, HOME, False)
    counters.tend(NOW)

    assert not counters.board.ad[8].any()
    assert not counters.board.place[place_cell(7, place_hash("elsewhere"))].any()


def test_the_board_is_the_definition_of_what_the_store_holds_bit_for_bit(counters, store, rng):
    for step in range(5):
        for ad in rng.integers(0, 1000, 200).tolist():
            counters.witness(ad, ad // 10, HOME, bool(rng.random() < 0.1))
        counters.flush(NOW + step * 1000)

    counters.take(counters.read(NOW + 9000))

    for ad in range(1000):
        cells, at = stored(store, Key.AD, ad)
        raw = cells.at(NOW + 9000)
        expected = key_features(raw.shown[at], raw.clicked[at])
        assert counters.board.ad[ad].tobytes() == expected.tobytes()


def test_what_is_not_flushed_is_seen_by_nobody(counters):
    counters.witness(7, 3, HOME, False)
    counters.take(counters.read(NOW))

    assert not counters.board.ad.any()


def test_a_reading_shows_nothing_before_it_is_taken(counters):
    counters.witness(7, 3, HOME, False)
    counters.flush(NOW)

    fresh = counters.read(NOW)

    assert not counters.board.ad.any()
    counters.take(fresh)
    assert counters.board.ad[7].any()


def test_only_changed_blocks_are_read_again(store):
    one, other = Counters(store), Counters(store)
    for ad in range(0, 100 * BLOCK, BLOCK):
        one.witness(ad, 1, HOME, False)
    one.tend(NOW)
    other.take(other.read(NOW))
    one.witness(BLOCK * 5, 1, HOME, False)
    one.flush(NOW + 100)

    fresh = other.read(NOW + 100)

    blocks = {key: block.tolist() for key, block, _, _ in fresh.parts}
    assert len(blocks[Key.AD]) <= 2
    assert 5 in blocks[Key.AD]
    assert blocks[Key.ADVERTISER] == [0]


def test_cells_that_nobody_counts_in_decay_on_the_board_within_a_minute(counters):
    for ad in range(0, 50 * BLOCK, BLOCK):
        counters.witness(ad, 1, HOME, False)
    counters.tend(NOW)
    before = counters.board.ad[::BLOCK][:50].copy()

    for second in range(1, STALE_MS // 1000 + 2):
        counters.tend(NOW + second * 1000)

    assert (np.abs(counters.board.ad[::BLOCK][:50]) < np.abs(before)).all()


def test_more_blocks_than_one_update_takes_are_all_written(counters):
    for ad in range(0, 3 * AT_ONCE * BLOCK, BLOCK):
        counters.witness(ad, 1, HOME, True)
    counters.tend(NOW)

    assert counters.board.ad[: 3 * AT_ONCE * BLOCK : BLOCK].any(axis=1).all()


def test_it_rests_after_each_part_that_it_writes_and_reads(counters):
    rests = []
    for block in range(AT_ONCE + 1):
        counters.witness(block * BLOCK, -1, 0, False)
    counters.flush(NOW, lambda: rests.append("written"))
    counters.read(NOW, lambda: rests.append("read"))

    places = len({place_cell(block * BLOCK, 0) // BLOCK for block in range(AT_ONCE + 1)})
    parts = -(-(AT_ONCE + 1 + places) // AT_ONCE)
    assert rests == ["written"] * parts + ["read"] * (2 + -(-places // AT_ONCE))


def test_a_table_that_grew_past_all_written_blocks_is_read_again(counters):
    """Tables double, versions grow by groups: of three groups written, the table holds four."""
    counters.witness(5 * GROUP // 2 * BLOCK, 1, HOME, False)
    counters.tend(NOW)

    counters.witness(0, 1, HOME, False)
    counters.tend(NOW)

    assert counters.board.ad[0].any()


def test_an_event_that_is_late_or_a_clock_that_steps_back_never_grows_a_count(counters, store):
    counters.witness(7, 3, HOME, False)
    counters.flush(NOW)
    counters.witness(7, 3, HOME, False)
    counters.flush(NOW - 5_000)

    cells, at = stored(store, Key.AD, 7)
    assert cells.t_ms[at] == NOW
    assert cells.shown[at].tolist() == [2.0, 2.0, 2.0]


def test_ids_beyond_the_most_are_not_counted(counters, store):
    counters.witness(MOST_IDS, -1, HOME, False)
    counters.tend(NOW)

    assert [key[len(CELLS)] for key, _ in everything(store, CELLS)] == [Key.AD_PLACEMENT]


def test_counts_wait_while_the_store_is_full():
    full = Full()
    counters = Counters(full)
    counters.witness(7, 3, HOME, False)
    counters.flush(NOW)
    counters.witness(7, 3, HOME, False)
    full.full = False
    counters.flush(NOW + 1000)

    cells, at = stored(full.store, Key.AD, 7)
    assert cells.shown[at].tolist() == [2.0, 2.0, 2.0]
    assert counters.lost == 0


def test_the_cell_of_an_ad_in_a_placement_is_spread_and_within_the_table():
    cells = {place_cell(ad, place_hash(f"p{p}")) for ad in range(200) for p in range(50)}

    assert min(cells) >= 0
    assert max(cells) < PLACES
    assert len(cells) > 9_700  # 10 000 in 2^18 cells: 188 collisions are expected


def test_a_placement_counts_as_its_token_carries_it():
    long = "ü" * 300

    assert place_hash(long) == place_hash("ü" * 127)


def count(folder, worker, times):
    store = DiskStore(folder, SIZE)
    counters = Counters(store)
    for step in range(times):
        for ad in range(100):
            counters.witness(ad, worker, HOME, step % 10 == 0)
        counters.tend(NOW)
    store.close()


def test_two_processes_count_together_and_lose_nothing(tmp_path):
    folder = tmp_path / "state"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=count, args=(folder, number, 30)) for number in (1, 2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    store = DiskStore(folder, SIZE)
    counters = Counters(store)
    counters.take(counters.read(NOW))
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert counters.check() == []
    for ad in (0, 63, 64, 99):
        cells, at = stored(store, Key.AD, ad)
        assert (cells.shown[at].tolist(), cells.clicked[at].tolist()) == ([54.0] * 3, [6.0] * 3)
    cells, at = stored(store, Key.ADVERTISER, 2)
    assert cells.shown[at][0] == 2700.0
    store.close()
