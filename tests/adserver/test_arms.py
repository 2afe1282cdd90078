"""Who decides: exact shares, the same person the same arm, the tenth holds the hundredth."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver.arms import ALONE, PPM, Beside, is_in_share, keys_of

KEYS = st.integers(0, 2**64 - 1)
SHARES = st.integers(0, PPM)
EDITION = object()


@pytest.mark.parametrize("share_ppm", [10_000, 100_000, 500_000])
@pytest.mark.parametrize("salt", ["a/2", "b/2"])
def test_the_share_is_met_over_many_people_within_chance(share_ppm, salt):
    people = 200_000

    found = sum(is_in_share(salt, key, share_ppm) for key in range(people))

    expected = people * share_ppm / PPM
    assert abs(found - expected) < 4 * np.sqrt(expected)


@given(KEYS, SHARES, SHARES, st.text(max_size=20))
def test_a_larger_share_holds_every_smaller_one(key, one, other, salt):
    small, large = sorted((one, other))

    assert is_in_share(salt, key, small) <= is_in_share(salt, key, large)


@given(KEYS, st.text(max_size=20))
def test_nobody_is_in_a_share_of_nothing_and_everybody_in_the_whole(key, salt):
    assert not is_in_share(salt, key, 0)
    assert is_in_share(salt, key, PPM)


def test_shares_of_two_releases_are_independent():
    """Who got the last canary is no more likely to get the next one."""
    keys = range(200_000)

    both = sum(is_in_share("s/2", k, 100_000) and is_in_share("s/3", k, 100_000) for k in keys)

    assert both == pytest.approx(2_000, abs=4 * np.sqrt(2_000))


def test_the_rule_is_the_same_in_every_process_and_release():
    """Changing it would move people between arms in the middle of a trial."""
    shares = [is_in_share("salt/7", key, 100_000) for key in range(40)]

    assert [key for key, inside in enumerate(shares) if inside] == FIRST


FIRST = [4, 12, 17, 19, 26, 33, 36]


def test_who_is_not_known_is_drawn_by_the_decision():
    assert keys_of([5, 0, 7], [10, 11, 12]) == [5, 11, 7]


def test_without_a_canary_production_decides_everything():
    assert not ALONE.deals(range(100)).any()
    assert not Beside(share_ppm=PPM).deals(range(100)).any()
    assert Beside(canary=EDITION, share_ppm=PPM).deals(range(100)).all()
