"""Rows of two tables in a third, group by group."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from adserver.catalogue.splice import Splice


@st.composite
def tables(draw):
    """Groups of an old table, and fresh ones for some of them and for places after them."""
    old = draw(st.lists(st.integers(0, 3), max_size=6))
    replaced = draw(st.sets(st.integers(0, max(len(old) - 1, 0)), max_size=len(old)))
    added = draw(st.integers(0, 3))
    place = sorted(replaced) + list(range(len(old), len(old) + added))
    fresh = draw(st.lists(st.integers(0, 3), min_size=len(place), max_size=len(place)))
    return old, fresh, place


def starts(sizes):
    return np.cumsum([0, *sizes]).astype(np.int32)


def spliced(old, fresh, place):
    """The same by lists: each group's rows as (table, row)."""
    rows = [[("old", row) for row in range(*pair)] for pair in pairwise(starts(old))]
    rows += [[] for _ in range(len(place))]
    for number, group in enumerate(place):
        first, last = starts(fresh)[number : number + 2]
        rows[group] = [("fresh", row) for row in range(first, last)]
    return rows[: max([len(old), *(group + 1 for group in place)])]


@given(tables())
def test_each_group_is_the_fresh_one_where_there_is_one(made):
    old, fresh, place = made
    splice = Splice.of(starts(old), starts(fresh), np.array(place, np.intp))

    groups = spliced(*made)

    assert splice.start.tolist() == starts(map(len, groups)).tolist()
    columns = {"old": np.arange(sum(old)) * 2.5, "fresh": -1 - np.arange(sum(fresh)) * 1.0}
    expected = [columns[table][row] for group in groups for table, row in group]
    assert_array_equal(splice.rows(columns["old"], columns["fresh"]), expected)


@pytest.mark.parametrize("kind", ["i1", "f4", "i8", "?"])
@pytest.mark.parametrize("width", [(), (3,), (16,)])
def test_a_file_is_spliced_as_a_column_is(tmp_path, rng, kind, width):
    old = rng.integers(0, 99, (200_000, *width)).astype(kind)
    fresh = rng.integers(0, 99, (7, *width)).astype(kind)
    (tmp_path / "new").mkdir()
    np.save(tmp_path / "column.npy", old)
    groups = np.arange(0, 200_001, 100, dtype=np.int32)
    splice = Splice.of(groups, np.array([0, 4, 7], np.int32), np.array([3, 2_000]))

    splice.save(tmp_path / "column.npy", fresh, tmp_path / "new")

    saved = np.load(tmp_path / "new" / "column.npy")
    assert saved.dtype == old.dtype
    assert_array_equal(saved, splice.rows(old, fresh))


def test_a_file_that_ends_early_is_not_taken_for_a_whole_one(tmp_path):
    (tmp_path / "new").mkdir()
    np.save(tmp_path / "column.npy", np.arange(100))
    splice = Splice.of(np.array([0, 100], np.int32), np.zeros(1, np.int32), np.zeros(0, np.intp))
    whole = (tmp_path / "column.npy").read_bytes()
    (tmp_path / "column.npy").write_bytes(whole[:-8])

    with pytest.raises((EOFError, ValueError)):
        splice.save(tmp_path / "column.npy", np.zeros(0, np.int64), tmp_path / "new")
