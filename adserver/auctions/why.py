"""Why one ad is shown as often as it is: each auction of a window under exactly one reason.

Where the ad came to auction, the reason is the auction's own. Of all other decisions a bounded
number is looked at closer and stands for the rest, in whole numbers: the funnel sums to all
decisions exactly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.price_to_win import NO_BID_WINS, price_to_win
from adserver.auctions.record import AuctionRecord, joined, kind_of
from adserver.auctions.ring import Ring
from adserver.auctions.scan import Sightings, evenly, pages_of, shares, sightings
from adserver.request import AdRequest
from auction.columns import Rejection
from auction.settings import AuctionSettings

OTHERS = 120
"""Decisions without the ad that are looked at closer, of all rings together."""
LOST = 40
"""Lost auctions whose price to win is found."""
NOT_LOOKED_AT = "NOT_LOOKED_AT"
"""Of the others, when none of them could be read before it was overwritten."""
Reason = Callable[[AdRequest, int], str]
"""Why the ad did not come to auction for a request, made at a moment (wall ms)."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Prices that would have won auctions that the ad lost."""

    looked_at: int
    micros: tuple[int, ...]
    """Ascending, of those that a bid would have won."""
    per_click: bool
    bid_micros: int
    """The ad's bid in the latest of them."""

    def quantile(self, share: float) -> int | None:
        if not self.micros:
            return None
        return self.micros[min(len(self.micros) - 1, int(share * len(self.micros)))]


@dataclass(frozen=True, slots=True)
class AdFunnel:
    """Of one ad and one window."""

    since_ms: int
    decisions: int
    candidate: int
    """Decisions in which it came to auction."""
    reasons: dict[str, int]
    """Decisions by reason; WON is one. They sum to `decisions`."""
    looked_at: int
    """Of the decisions without it."""
    lost: Lost
    estimated: int = 0
    """Decisions that are known from the durable sample only: each of its pages stands for many."""


def funnel_of(
    rings: Sequence[Ring], ad: int, since_ms: int, reason: Reason, settings: AuctionSettings
) -> AdFunnel:
    """The funnel since a moment, or since the oldest auction that all rings still hold."""
    since_ms = max([since_ms, *(ring.complete_since_ms() for ring in rings)])
    found = [sightings(ring, ad, since_ms) for ring in rings]
    decisions = sum(one.decisions for one in found)
    codes: Counter[str] = Counter()
    for one in found:
        values, counts = np.unique(one.code, return_counts=True)
        for code, count in zip(values.tolist(), counts.tolist(), strict=True):
            codes[Rejection(code).name] += count
    others, sampled = decisions - codes.total(), _others(found, ad, reason)
    for name, count in zip(sampled, shares(list(sampled.values()), others), strict=True):
        codes[name] += count
    return AdFunnel(
        since_ms=since_ms,
        decisions=decisions,
        candidate=decisions - others,
        reasons={name: count for name, count in codes.most_common() if count},
        looked_at=sum(sampled.values()),
        lost=_lost(found, settings),
    )


def with_sample(
    funnel: AdFunnel,
    older: Iterable[AuctionRecord],
    one_in: int,
    ad: int,
    since_ms: int,
    reason: Reason,
) -> AdFunnel:
    """The funnel with what the sample knows of the time before it, from `since_ms` on."""
    seen: Counter[str] = Counter()
    absent: list[tuple[AuctionRecord, int]] = []
    oldest = funnel.since_ms
    for record in older:
        at_ms = record.notes.at_ms
        inside = np.flatnonzero((at_ms >= since_ms) & (at_ms < funnel.since_ms))
        oldest = min([oldest, *at_ms[inside].tolist()])
        for page in inside.tolist():
            row = _row_on(record, page, ad)
            if row < 0:
                absent.append((record, page))
            else:
                seen[Rejection(int(record.slate.rejected[row])).name] += one_in
    candidate = seen.total()
    some = [absent[place] for place in evenly(len(absent), OTHERS).tolist()]
    told = Counter(
        reason(record.request(page), int(record.notes.at_ms[page])) for record, page in some
    )
    parts = shares(list(told.values()), one_in * len(absent))
    reasons = Counter(funnel.reasons) + seen + Counter(dict(zip(told, parts, strict=True)))
    estimated = candidate + one_in * len(absent)
    return replace(
        funnel,
        since_ms=oldest,
        decisions=funnel.decisions + estimated,
        candidate=funnel.candidate + candidate,
        reasons={name: count for name, count in reasons.most_common() if count},
        looked_at=funnel.looked_at + len(some),
        estimated=estimated,
    )


def _row_on(record: AuctionRecord, page: int, ad: int) -> int:
    """The ad's row on a page, -1 when it is not there."""
    low, high = record.bids.offset[page : page + 2].tolist()
    rows = np.flatnonzero(record.notes.ad_id[low:high] == ad)
    return low + int(rows[0]) if len(rows) else -1


def _others(found: Sequence[Sightings], ad: int, reason: Reason) -> Counter[str]:
    """Decisions without the ad by reason, of some that are evenly spread over all."""
    counts: Counter[str] = Counter()
    total = sum(one.decisions for one in found)
    for one in found:
        ends = np.cumsum(one.entries["pages"].astype(np.int64))
        most = -(-OTHERS * one.decisions // max(1, total))
        chosen = evenly(one.decisions, most)
        records = np.searchsorted(ends, chosen, "right")
        for place in np.unique(records).tolist():
            begin = int(ends[place]) - int(one.entries["pages"][place])
            whole = one.read(place)
            if whole is not None:
                pages = (chosen[records == place] - begin).tolist()
                counts.update(_reasons(whole, pages, ad, reason))
    return counts or Counter({NOT_LOOKED_AT: 1})


def _reasons(record: AuctionRecord, pages: list[int], ad: int, reason: Reason) -> list[str]:
    return [
        reason(record.request(page), int(record.notes.at_ms[page]))
        for page in pages
        if _row_on(record, page, ad) < 0
    ]


def _lost(found: Sequence[Sightings], settings: AuctionSettings) -> Lost:
    pages: list[tuple[AuctionRecord, int]] = []
    for one in found:
        lost = np.flatnonzero(one.code != Rejection.WON)
        some = lost[evenly(len(lost), -(-LOST // len(found)))]
        pages += pages_of(one, one.record[some], one.row[some])
    if not pages:
        return Lost(0, (), per_click=False, bid_micros=0)
    latest, row = max(pages, key=lambda page: int(page[0].notes.at_ms[0]))
    # A new snapshot may have come with another form of columns; the newest is asked about.
    alike = [page for page in pages if kind_of(page[0]) == kind_of(latest)]
    price = _prices(alike, settings)
    return Lost(
        looked_at=len(alike),
        micros=tuple(np.sort(price[price != NO_BID_WINS]).tolist()),
        per_click=bool(latest.bids.per_click[row]),
        bid_micros=int(latest.bids.bid_micros[row]),
    )


def _prices(
    pages: Sequence[tuple[AuctionRecord, int]], settings: AuctionSettings
) -> NDArray[np.int64]:
    batch = joined([page for page, _ in pages])
    rows = np.array([row for _, row in pages], np.int64) + batch.bids.offset[:-1]
    return price_to_win(batch, rows, settings)


SUGGESTIONS = {
    "OUTBID": "Others bid more for these slots: raise the bid towards the price to win.",
    "BELOW_FLOOR": "The bid is below the floor: raise it, or target cheaper placements.",
    "BELOW_DEAL_FLOOR": "The bid is below its deal's floor: raise it or renegotiate the deal.",
    "LOST_TO_DEAL": "A deal was served first: only a deal of its own would change that.",
    "LOWER_TIER": "Line items of a better tier were served first: the tier decides, not the bid.",
    "FREQUENCY": "These people have seen it as often as its cap allows: raise the cap or reach out "
    "to more people.",
    "BUDGET": "Its budget was spent: raise it, or bid less for the same money.",
    "PACING": "Pacing keeps it back so that the money lasts: raise the budget or bring the end of "
    "the flight forward.",
    "FAIRNESS": "Its advertiser has had its share of the window: more of its ads will not help.",
    "EXPLORED": "The slot went by lot, to learn what other ads do there: how often is a setting.",
    "EXCLUSION": "A competitor, or another ad of its advertiser, already stood on the page.",
    "DUPLICATE": "It already stood on the page.",
    "ROADBLOCK": "The rest of its set did not win: it is only shown as a whole.",
    "NOT_IN_DEAL": "Only deals may buy here, and it has none that is offered.",
    "SIMILARITY": "It may be shown, but others promised more: its expected value (bid times click "
    "rate) is too low to be among the candidates.",
    "PAUSED": "It is paused, out of its flight or out of its budget.",
    "SIZE": "No slot takes its size: add creatives in the sizes that are asked for.",
    "NOT_SECURE": "These slots take https creatives only.",
    "ADVERTISER_BLOCKED": "The publisher refuses its advertiser.",
    "CATEGORY_BLOCKED": "The publisher refuses its category.",
    "ATTRIBUTE_BLOCKED": "The publisher refuses an attribute of its creative.",
    "CREATIVE_BLOCKED": "The publisher refuses this creative.",
    "NOT_SCORED_TIME": "Time ran out before it was scored: the server is short of capacity.",
}
_TARGETING = "Its targeting ({reason}) does not meet these requests: widen it, or look elsewhere."


def suggestion(reason: str) -> str:
    """What its owner could do about a reason, in words."""
    return SUGGESTIONS.get(reason, _TARGETING.format(reason=reason))


def as_json(ad: int, funnel: AdFunnel, window_s: int, now_ms: int, version: int) -> dict[str, Any]:
    """The answer; shares are of all decisions."""
    won, lost = funnel.reasons.get("WON", 0), funnel.lost
    obstacles = [(name, n) for name, n in funnel.reasons.items() if name != "WON"]
    return {
        "ad": ad,
        "window_s": window_s,
        "covers_s": round(max(0, now_ms - funnel.since_ms) / 1000, 3),
        "decisions": funnel.decisions,
        "estimated_from_the_sample": funnel.estimated,
        "candidate_in": funnel.candidate,
        "win_rate": round(won / funnel.candidate, 6) if funnel.candidate else None,
        "funnel": [
            {"reason": name, "decisions": n, "share": round(n / funnel.decisions, 6)}
            for name, n in funnel.reasons.items()
        ],
        "sampled": {
            "decisions_without_it": funnel.decisions - funnel.candidate,
            "looked_at": funnel.looked_at,
            "on_snapshot": version,
        },
        "price_to_win": {
            "lost_looked_at": lost.looked_at,
            "no_bid_would_win": lost.looked_at - len(lost.micros),
            "per": "click" if lost.per_click else "thousand impressions",
            "bid_micros": lost.bid_micros or None,
            "p50_micros": lost.quantile(0.5),
            "p90_micros": lost.quantile(0.9),
        },
        "top_obstacle": {
            "reason": obstacles[0][0],
            "decisions": obstacles[0][1],
            "suggestion": suggestion(obstacles[0][0]),
        }
        if obstacles
        else None,
    }
