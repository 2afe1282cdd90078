"""Every way to pay on one scale: whole micros of US dollars for a click or a thousand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from adserver.catalogue import offers
from adserver.catalogue.currency import Rates, to_usd
from adserver.catalogue.labels import Labels
from adserver.catalogue.reading import no_line_items
from adserver.catalogue.trading import DEAREST
from adserver.errors import ConfigError
from auction.columns import Pricing


def items(*rows):
    """(pricing, price, conversions per million clicks, goal) each."""
    columns = no_line_items(len(rows))
    for place, (pricing, price, pcvr, goal) in enumerate(rows):
        columns.pricing[place], columns.price_micros[place] = pricing, price
        columns.pcvr_ppm[place], columns.goal_amount[place] = pcvr, goal
    return columns


def bids(rows, rate):
    """Where six in ten impressions are seen."""
    return offers.bids(rows, rate, offers.event_rates(rows, 600_000)).tolist()


def test_each_way_to_pay_bids_on_the_common_scale():
    rows = items(
        (Pricing.CPM, 2_000_000, 1, 0),
        (Pricing.CPC, 300_000, 1, 0),
        (Pricing.CPA, 30_000_001, 10_000, 0),
        (Pricing.FLAT, 1_000_000_000, 1, 300_000),
        (Pricing.VCPM, 2_001_000, 1, 0),
    )
    dollars = np.full(5, 1_000_000, np.int64)

    assert bids(rows, dollars) == [2_000_000, 300_000, 300_000, 3_333_000, 1_200_000]
    assert offers.event_costs(rows, dollars).tolist() == [2_000, 300_000, 30_000_001, 0, 2_001]
    assert offers.per_click(rows).tolist() == [False, True, True, False, False]


def test_a_foreign_bid_is_converted_before_it_is_rounded_to_whole_impressions():
    rows = items((Pricing.CPM, 1_000_000, 1, 0), (Pricing.CPC, 1, 1, 0))
    euros = np.full(2, 920_000, np.int64)

    assert bids(rows, euros) == [1_086_000, 1]


@given(st.integers(0, 10**17), st.integers(1, DEAREST * 1_000_000))
def test_columns_convert_exactly_as_whole_numbers_do(micros, rate):
    """Up to the dearest rate that an operator may set."""
    expected = micros * 1_000_000 // rate
    if expected < 2**62:
        assert to_usd(np.array([micros]), np.array([rate]))[0] == expected


@given(st.integers(0, 10**12), st.integers(1, 10**10))
def test_a_floor_is_never_converted_to_less_and_a_bid_never_to_more(micros, rate):
    rates = Rates(1, {"EUR": rate})

    assert rates.floor_to_usd(micros, "EUR") * rate >= micros * 1_000_000
    assert rates.bid_to_usd(micros, "EUR") * rate <= micros * 1_000_000


def test_labels_share_a_bit_and_the_word_category_stands_for_an_ads_own():
    bits = Labels().bits(
        [("cola",), ("cola", "category"), ("category",), ()], ["IAB8-1", "IAB8-2", "IAB8", "IAB8"]
    )

    assert bits[0] & bits[1]
    assert bits[1] & bits[2]
    assert not bits[0] & bits[2]
    assert bits[3] == 0


def test_more_labels_than_bits_are_refused():
    labels = Labels()
    labels.bits([tuple(map(str, range(65)))], ["IAB1"])

    with pytest.raises(ConfigError, match="65 different ones"):
        labels.check()
