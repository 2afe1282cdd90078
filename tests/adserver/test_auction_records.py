"""Records of auctions: as bytes and back, cut and joined, and held again with the same sale."""

from __future__ import annotations

import numpy as np
import pytest
from auction_market import as_dict
from auction_records import SETTINGS, Market, packed, same

from adserver.auctions.again import again, money_of
from adserver.auctions.asked import pack, request_of, split
from adserver.auctions.encoding import Damaged, decode
from adserver.auctions.record import EDGE_OF, Axis, axis_of, columns, joined, kind_of
from adserver.request import AdRequest, Dialect, Explain, Slot, Unserved


def bytes_of(record):
    return b"".join(packed(record).parts)


@pytest.mark.parametrize("pages", [1, 2, 7])
def test_a_record_comes_back_from_its_bytes_as_it_was(pages):
    record = Market(pages).batch(pages)

    assert same(decode(bytes_of(record)), record)


def test_a_page_without_any_candidate_is_recorded_too():
    record = Market(1, candidates=0).batch(2)

    assert same(decode(bytes_of(record)), record)


def test_bytes_say_their_own_size_and_where_the_ads_lie():
    record = Market(2).batch(5)
    form, data = packed(record), bytes_of(record)

    assert len(data) == form.size
    assert form.size % 8 == form.ad_at % 8 == 0
    assert np.frombuffer(data, np.int64, form.rows, form.ad_at).tolist() == (
        record.notes.ad_id.tolist()
    )
    assert np.frombuffer(data, np.uint8, form.rows, form.code_at).tolist() == (
        record.slate.rejected.tolist()
    )


def test_every_column_counts_along_the_axis_that_is_declared():
    """A new column of the auction that `record` has never heard of is found here."""
    record = Market(3).sampled(1)[0]
    record = joined([record, *Market(4).sampled(4)])
    lengths = {
        Axis.PAGE: len(record),
        Axis.ROW: len(record.bids.ad),
        Axis.SLOT: len(record.slots.floor_micros),
        Axis.ACCOUNT: len(record.scarce.micros),
    }
    assert len(set(lengths.values())) == 4  # else the test would prove nothing

    for name, column in columns(record):
        axis = axis_of(name)
        expected = len(record) + 1 if axis in EDGE_OF else lengths[axis]
        assert len(column) == expected, name


def test_pages_cut_apart_and_joined_again_are_the_batch():
    batch = joined(Market(5).sampled(6))

    assert same(joined(list(batch.pages())), batch)


def test_pages_of_different_widths_join_with_rates_that_no_slot_has():
    pages = [page for seed in range(6) for page in Market(seed).sampled(1)]
    assert len({page.bids.pctr_ppm.shape[1] for page in pages}) > 1
    assert len({kind_of(page) for page in pages}) == 1

    batch = joined(pages)

    for page, alone in zip(batch.pages(), pages, strict=True):
        assert as_dict(again(page, SETTINGS)) == as_dict(again(alone, SETTINGS))


def test_every_sampled_page_sells_again_as_it_was_sold():
    market = Market(7)
    relaxed = short = changed = 0
    for _ in range(150):
        for page in market.sampled(3):
            slate = again(decode(bytes_of(page)), SETTINGS)

            assert as_dict(slate) == as_dict(page.slate)
            relaxed += int(slate.relaxed.sum())
            changed += int((slate.winner != slate.plain_winner).sum())
            short += len(page.scarce.micros)
    assert min(relaxed, changed, short) > 0


def test_a_budget_that_could_not_run_out_is_not_noted():
    page = Market(8).sampled(1)[0]

    money = money_of(page)

    assert (money[page.scarce.account] == page.scarce.micros).all()
    assert set(page.scarce.account.tolist()) <= set(page.bids.account.ravel().tolist())


def test_a_batch_is_not_held_again_as_a_whole():
    with pytest.raises(ValueError, match="one page at a time"):
        again(Market(9).batch(2), SETTINGS)


@pytest.mark.parametrize("cut", [0, 3, 15, 40, 200, -8])
def test_bytes_cut_short_are_damaged(cut):
    with pytest.raises(Damaged):
        decode(bytes_of(Market(10).batch(3))[:cut])


def test_random_bytes_are_damaged_and_nothing_worse(rng):
    data = bytearray(bytes_of(Market(11).batch(2)))
    for _ in range(300):
        noisy = data.copy()
        noisy[int(rng.integers(0, 1200))] = int(rng.integers(256))
        try:
            decode(bytes(noisy))
        except Damaged:
            continue


def test_a_request_is_kept_but_for_what_never_came_to_auction():
    request = AdRequest(
        "r", (Slot("a", "top", ((300, 250), (1, 2)), 5, True, (3,), "s"),), Dialect.BID,
        categories=("IAB1",), first_price=True, deadline_ms=40, explain=Explain.SUMMARY,
        unserved=(("x", Unserved.FORMAT),),
    )  # fmt: skip

    (kept,) = split(pack([request]))

    assert request_of(kept) == AdRequest(
        **{name: getattr(request, name) for name in AdRequest.__slots__} | {"unserved": ()}
    )
