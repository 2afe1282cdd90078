"""Running counts know the past alone: against an oracle, and by changing the future."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from clicked import crossed
from numpy.testing import assert_allclose, assert_array_equal

from ranking.tabular.kernels import LONG_AGO
from ranking.tabular.running import DAY_S, KINDS, STRENGTH, count, counted, moments, priors


def counts(rows) -> np.ndarray:
    out = np.empty((len(rows), len(counted(rows))), np.float32)
    count(rows, out)
    return out


def test_counts_are_those_of_the_rows_before():
    rows = crossed(400, 1)
    rows.time_s[:] = np.sort(np.random.default_rng(2).integers(0, 150, 400)) * 3_600.0
    found = counts(rows)
    moment, value = moments(rows), rows.category["two"]
    prior = priors(rows.click, moment)

    for at in (0, 7, 150, 399):
        past = (moment < moment[at]) & (value == value[at])
        fade = np.exp(moment[past] - moment[at])
        clicks, shown = rows.click[past], past.sum()
        rates = [
            (clicks.sum() + STRENGTH * prior[at]) / (shown + STRENGTH),
            (clicks @ fade + STRENGTH * prior[at]) / (fade.sum() + STRENGTH),
        ]
        wanted = [np.log(rates[0] / prior[at]), np.log1p(shown)]
        wanted += [np.log(rates[1] / prior[at]), np.log1p(fade.sum())]
        last = moment[past].max() if past.any() else LONG_AGO
        wanted.append(np.log1p(DAY_S * (moment[at] - last)))
        assert_allclose(found[at, len(KINDS) : 2 * len(KINDS)], wanted, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("timed", [True, False])
def test_no_row_knows_its_own_click_or_a_later_one(timed):
    rows = crossed(600, 3)
    rows = rows if timed else replace(rows, time_s=None)
    other = replace(rows, click=rows.click.copy())
    other.click[300:] ^= 1

    assert_array_equal(counts(rows)[:301], counts(other)[:301])
    assert not np.array_equal(counts(rows)[301:], counts(other)[301:])


def test_rows_of_one_moment_do_not_see_each_other():
    rows = crossed(1_000, 4)
    rows.time_s[:] = np.repeat(np.arange(200), 5) * 60.0
    other = replace(rows, click=rows.click.copy())
    other.click[500] ^= 1  # the first row of its minute

    assert_array_equal(counts(rows)[:505], counts(other)[:505])


def test_a_log_of_one_hour_tells_time_by_its_order():
    rows = crossed(500, 5)
    rows.time_s[:] = 0.0

    assert (np.diff(moments(rows)) > 0).all()


def test_pairs_are_counted_too_where_fields_are_few():
    names = counted(crossed(100, 6))

    assert "one × two: rate" in names
    assert len(names) == len(KINDS) * 6


def test_a_log_of_many_fields_has_fewer_numbers_and_no_pairs():
    rows = crossed(100, 7)
    wide = replace(rows, category={f"{n}{at}": c for n, c in rows.category.items() for at in "abc"})

    names = counted(wide)

    assert len(names) == 9 * 3
    assert counts(wide).shape == (100, 27)
