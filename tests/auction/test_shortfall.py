"""Why a plan is behind."""

from __future__ import annotations

import numpy as np
import pytest

from auction.columns import Rejection
from auction.shortfall import GROUP, Shortfall, grouped, main_reason


def counts(**lost):
    found = np.zeros((1, 256), np.int64)
    for name, number in lost.items():
        found[0, Rejection[name]] = number
    return found


def test_every_reason_but_winning_has_one_group():
    assert set(GROUP) == set(Rejection) - {Rejection.WON}


def test_counts_are_grouped_and_none_is_lost():
    found = grouped(counts(OUTBID=3, LOWER_TIER=4, FREQUENCY=5, SIZE=6, WON=100))

    assert found.tolist() == [[0, 0, 7, 0, 5, 6]]


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ({"OUTBID": 900, "GEO": 300}, Shortfall.OUTBID),
        ({"GEO": 900, "OUTBID": 300}, Shortfall.TARGETING),
        ({"PACING": 700, "OUTBID": 400}, Shortfall.PACING),
        ({"FREQUENCY": 700, "FAIRNESS": 200, "OUTBID": 400}, Shortfall.CAPS),
        ({"SIZE": 700, "OUTBID": 400}, Shortfall.CREATIVE),
        ({"OUTBID": 90}, Shortfall.SUPPLY),
        ({}, Shortfall.SUPPLY),
    ],
)
def test_a_plan_that_is_behind_has_one_main_reason(lost, reason):
    found = main_reason(counts(**lost), np.array([100]), np.array([1_000]))

    assert found.tolist() == [reason]


def test_a_plan_that_won_what_it_needed_has_no_reason():
    assert main_reason(counts(OUTBID=9), np.array([10]), np.array([10])).tolist() == [-1]
