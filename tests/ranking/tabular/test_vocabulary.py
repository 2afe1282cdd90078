"""Rows of values: frequent ones never share, whatever comes and in whatever order."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ranking.tabular.kernels import hash_words
from ranking.tabular.vocabulary import LIMITS, MOST_LOAD, NOTHING, Limits, Table, loads


def hashed(values) -> np.ndarray:
    words = np.asarray(values, np.uint64)
    out = np.empty_like(words)
    hash_words(words, out)
    return out


def of(values, limits=LIMITS) -> Table:
    return Table.empty(limits).grown(hashed(values))


def test_no_two_of_fifty_thousand_frequent_values_share_a_row():
    values = np.repeat(np.arange(50_000), 3)

    first, second = of(values).pair(hashed(np.arange(50_000)))

    assert len(np.unique(first)) == 50_000
    assert not second.any()


def test_no_more_than_half_of_the_buckets_are_taken():
    for live in (1, 4, 5, 1_000, 1_024, 1_025):
        table = of(np.repeat(np.arange(live), 3))
        assert table.live == live
        assert table.live / len(table.slot) <= MOST_LOAD


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.integers(0, 60), max_size=80), min_size=1, max_size=5))
def test_rows_are_given_once_and_kept_as_data_comes(batches):
    table, given_out = Table.empty(Limits(frequent=2)), {}
    count = dict.fromkeys(range(61), 0)
    for batch in batches:
        table = table.grown(hashed(batch))
        for value in batch:
            count[value] += 1
        frequent = [value for value in count if count[value] >= 2]
        rows = table.pair(hashed(frequent))[0].tolist()

        assert len(set(rows)) == len(frequent) == table.live
        assert all(given_out.get(v, row) == row for v, row in zip(frequent, rows, strict=True))
        assert all(1 + table.limits.tail <= row < table.rows for row in rows)
        given_out |= dict(zip(frequent, rows, strict=True))


def test_data_in_parts_gives_the_same_values_rows_of_their_own_as_data_at_once():
    values = np.random.default_rng(3).zipf(1.3, 20_000)
    parts = Table.empty(Limits())
    for part in np.array_split(values, 7):
        parts = parts.grown(hashed(part))

    whole = of(values)

    assert set(parts.slot.tolist()) == set(whole.slot.tolist())


def test_rare_values_share_the_tail_and_never_a_frequent_values_row():
    table = of([*np.repeat(np.arange(100), 3), *range(1_000, 2_000)])

    first, _ = table.pair(hashed(range(1_000, 2_000)))

    assert first.min() >= 1
    assert first.max() <= table.limits.tail


def test_beyond_the_limit_two_hashes_tell_values_apart():
    limits = Limits(own=100, pairs=256)
    table = of(np.repeat(np.arange(5_000), 3), limits)

    first, second = table.pair(hashed(range(5_000)))
    both = set(zip(first.tolist(), second.tolist(), strict=True))

    assert table.live == 100
    assert (second == NOTHING).sum() == 100
    assert len(np.unique(first)) < 400  # one hash alone would mix them up
    assert len(both) > 4_700
    assert max(first.max(), second.max()) < table.rows


def test_what_is_not_there_has_the_row_that_stays_zero():
    first, second = of([1, 1, 1]).pair(np.array([0], np.uint64))

    assert first[0] == second[0] == NOTHING


def test_values_seen_once_are_forgotten_when_too_many_wait():
    table = of([*range(100), 7, 7], Limits(frequent=9, waiting=50))

    assert table.waiting.tolist() == hashed([7]).tolist()


def test_loads_tell_how_full_each_table_is():
    (one,) = loads([of([1, 1, 1, 2, 2, 2, 3])], ["C1"])

    assert (one.field, one.live, one.rare, one.buckets) == ("C1", 2, 1, 8)
    assert one.load == pytest.approx(0.25)
