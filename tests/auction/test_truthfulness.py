"""With one slot, and with several by VCG, no bid keeps more than the true value: measured.

`python -m bench.truthfulness` does the same on 10 000 auctions.
"""

from __future__ import annotations

import numpy as np
import pytest

from auction.columns import MILLE
from auction.fairness import Exposure
from auction.settings import VCG, AuctionSettings
from bench.truthfulness import CAPS, Gains, gains, pages

AUCTIONS = 300


def all_gains(slots: int, settings: AuctionSettings, exposure: Exposure | None) -> list[Gains]:
    return [
        gains(page, exposure, settings)
        for page in pages(np.random.default_rng(11), AUCTIONS, slots)
    ]


@pytest.mark.parametrize("fair", [False, True])
def test_with_one_slot_and_no_increment_no_deviation_gains_more_than_a_micro(fair):
    exposure = Exposure(CAPS) if fair else None

    found = all_gains(1, AuctionSettings(increment_micros=0), exposure)

    assert max(one.excess.max() for one in found) == 0
    assert any(one.dual for one in found) == fair
    assert min(one.kept.min() for one in found) >= 0


def test_with_one_slot_no_deviation_gains_more_than_the_increment():
    settings = AuctionSettings()

    found = all_gains(1, settings, Exposure(CAPS))

    assert 0 < max(one.gain.max() for one in found) <= settings.increment_micros * MILLE


def test_with_several_slots_the_generalised_second_price_rewards_shading():
    """Which is why VCG is offered."""
    found = all_gains(3, AuctionSettings(increment_micros=0), None)

    assert sum(one.gain.sum() for one in found) > 0


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_by_vcg_no_deviation_gains_more_than_a_micro_however_many_slots(slots):
    found = all_gains(slots, AuctionSettings(mechanism=VCG), None)

    assert max(one.excess.max() for one in found) == 0
    assert min(one.kept.min() for one in found) >= 0


def test_with_one_slot_vcg_is_truthful_under_dual_prices_too():
    found = all_gains(1, AuctionSettings(mechanism=VCG), Exposure(CAPS))

    assert max(one.excess.max() for one in found) == 0
    assert any(one.dual for one in found)
