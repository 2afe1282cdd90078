"""Who has had an ad as often as its caps allow, and what may not join a page that is already made.

A person's history and a page's record are arrays of records, oldest first. Exact at any moment: a
cap is reached when as many rows as it allows lie in its window. Knows no clock, no keys, no store.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp

import numpy as np
from numpy.typing import NDArray

from auction.caps import Cap, Caps, Entity, On, Unit
from auction.columns import PPM
from auction.kernels import frequency as kernels
from auction.kernels import granting
from auction.kernels.frequency import Ads, Moment, Regions
from auction.kernels.granting import Wishes

__all__ = ["Ads", "Cap", "Caps", "Entity", "Moment", "On", "Regions", "Rules", "Unit", "Wishes"]

SIGHTING = np.dtype(
    [
        ("number", "<u8"),
        ("soft_until_ms", "<i8"),
        ("impression_ms", "<i8"),
        ("viewable_ms", "<i8"),
        ("click_ms", "<i8"),
        ("ad", "<i4"),
        ("line_item", "<i4"),
        ("campaign", "<i4"),
        ("advertiser", "<i4"),
        ("reach", "<i8"),
    ]
)
"""One sale to one person: its ticket, until when a place is kept for an event that has not come,
when each event came (0: not yet), whose ad it was, by ids, and the last `Entity` it counts for."""
STANDING = np.dtype(
    [("t_ms", "<i8"), ("labels", "<u8"), ("ad", "<i4"), ("creative", "<i4"), ("advertiser", "<i8")]
)
"""One ad on one page view."""
PAGE_MS = 60_000
"""How long an ad is taken to stand on its page, across calls."""
EVENT = {On.IMPRESSION: "impression_ms", On.VIEWABLE: "viewable_ms", On.CLICK: "click_ms"}
Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Batch:
    """Records of a batch, and its candidates: where each request's part begins, [B + 1] each."""

    history: NDArray[np.int64]
    offset: NDArray[np.int32]
    row: NDArray[np.int32]
    """[R] each candidate's row in `Ads`."""


@dataclass(frozen=True, slots=True)
class Rules:
    """Of page views."""

    page_ms: int = PAGE_MS
    advertiser_once: bool = True


def moment(caps: Caps, now_ms: int, remembered_ms: int = 0) -> Moment:
    """What each cap's window holds now; `remembered_ms` keeps impressions without caps as well."""
    return Moment(caps.starts(now_ms), now_ms, now_ms - remembered_ms + 1)


def capped(
    records: Records, batch: Batch, ads: Ads, caps: Caps, moment: Moment
) -> NDArray[np.bool_]:
    """[R] which candidates their person has had as often as a cap allows.

    Costs the history once and each candidate's own caps: not their product.
    """
    full = np.zeros(len(batch.row), np.bool_)
    held = np.zeros(len(caps.most), np.int32)
    kernels.find_capped(
        records, batch.history, batch.offset, batch.row, ads, caps.columns, moment, held, full
    )
    return full


def has_cap(row: NDArray[np.int32], ads: Ads, caps: Caps) -> NDArray[np.bool_]:
    """[R] the ad, its line item, campaign or advertiser has a cap."""
    found = np.zeros(len(row), np.bool_)
    kernels.find_any_cap(row, ads, caps.columns, found)
    return found


def page_rejections(
    records: Records, batch: Batch, ads: Ads, rules: Rules, now_ms: int
) -> NDArray[np.uint8]:
    """[R] DUPLICATE or EXCLUSION where what stands on the page keeps a candidate away, else 0."""
    code = np.zeros(len(batch.row), np.uint8)
    since_ms = now_ms - rules.page_ms + 1
    granting.page_codes(
        records,
        batch.history,
        batch.offset,
        batch.row,
        ads,
        since_ms,
        rules.advertiser_once,
        code,
    )
    return code


def prune(regions: Regions, caps: Caps, moment: Moment) -> None:
    """Drop, in place, what no cap's window will hold any more."""
    kernels.prune(regions, caps.columns, moment)


def needed(
    records: Records, begin: NDArray[np.int64], caps: Caps, moment: Moment
) -> NDArray[np.bool_]:
    """[H] of histories end to end, `begin` [H + 1]: some cap's window holds something of it."""
    found = np.zeros(len(begin) - 1, np.bool_)
    kernels.find_needed(records, begin, caps.columns, moment, found)
    return found


def grant(
    wishes: Wishes, people: Regions, pages: Regions, caps: Caps, moment: Moment, rules: Rules
) -> NDArray[np.uint8]:
    """[T] 0 where the sale stands, else FREQUENCY, DUPLICATE, EXCLUSION, or ROADBLOCK for the rest
    of a package.

    What is granted is added to the regions in place, a reservation until its event comes; so of
    two sales that would pass one by one, but not together, the second is refused.
    """
    code = np.zeros(len(wishes.request), np.uint8)
    since_ms = moment.now_ms - rules.page_ms + 1
    granting.grant(
        wishes, people, pages, caps.columns, moment, since_ms, rules.advertiser_once, code
    )
    return code


def sightings(row: NDArray[np.int32], ads: Ads, caps: Caps, soft_until_ms: int) -> Records:
    """Records of sales [T] of these ads, with a place kept for the event; numbers still to come."""
    records = np.zeros(len(row), SIGHTING)
    records["soft_until_ms"] = soft_until_ms
    records["ad"], records["line_item"] = ads.ad[row], ads.line_item_id[ads.line_item[row]]
    records["campaign"], records["advertiser"] = ads.campaign[row], ads.advertiser[row]
    set_reach(records, caps)
    return records


def set_reach(records: Records, caps: Caps) -> None:
    """Up to which entity each counts: none above one that does not affect its parents."""
    records["reach"] = Entity.USER
    for kind in reversed((Entity.AD, Entity.LINE_ITEM, Entity.CAMPAIGN, Entity.ADVERTISER)):
        place = caps.find(kind, records[kind.name.lower()])
        exempt = place >= 0
        exempt[exempt] = caps.exempt[place[exempt]]
        records["reach"][exempt] = kind


def standings(row: NDArray[np.int32], ads: Ads, now_ms: int) -> Records:
    records = np.zeros(len(row), STANDING)
    records["t_ms"] = now_ms
    records["ad"], records["creative"] = ads.ad[row], ads.creative[row]
    records["advertiser"] = ads.advertiser[row]
    if len(ads.labels):
        records["labels"] = ads.labels[row]
    return records


def witness(records: Records, seen: Records, on: On, t_ms: int) -> Records:
    """The history after the event of one sale: its reservation lasts, as of `t_ms`.

    `seen` [1] is the sale as its token tells it, added if its row is no longer there.
    """
    found = np.flatnonzero(records["number"] == seen["number"][0])
    after = records.copy() if len(found) else np.concatenate([records, seen])
    at = found[0] if len(found) else len(records)
    for name in {EVENT[On.IMPRESSION], EVENT[on]}:  # who has clicked it has been shown it
        if after[name][at] == 0:
            after[name][at] = t_ms
    return after


def release(records: Records, number: int) -> Records:
    """The history without the reservation of one sale, unless its event has come."""
    gone = (records["number"] == number) & (records["impression_ms"] == 0)
    kept: Records = records[~gone]
    return kept


def discounts(kappa: float, most: int = 64) -> NDArray[np.int64]:
    """[most] exp(−κ n) in whole millionths, at least one: so any machine replays the same sale."""
    return np.array([max(1, round(exp(-kappa * n) * PPM)) for n in range(most)], np.int64)


def seen_counts(
    records: Records, batch: Batch, campaign: NDArray[np.int32], start_ms: int
) -> NDArray[np.int32]:
    """[R] impressions of each candidate's campaign that its person has had since `start_ms`."""
    seen = np.zeros(len(campaign), np.int32)
    held = np.zeros(int(campaign.max(initial=0)) + 1, np.int32)
    kernels.count_seen(records, batch.history, batch.offset, campaign, start_ms, held, seen)
    return seen


def discounted(
    pctr_ppm: NDArray[np.int64], seen: NDArray[np.int32], table: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[R, S] click rates of what has been seen before, rounded down, at least one millionth."""
    factor = table[np.minimum(seen, len(table) - 1)]
    rates: NDArray[np.int64] = np.maximum(1, pctr_ppm * factor[:, None] // PPM)
    return rates
