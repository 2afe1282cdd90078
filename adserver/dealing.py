"""Which candidates may buy in the deals that a request offers, and on what terms.

A line item that is tied to a deal buys in that deal alone. Strictest wins: of the floors of the
catalogue and of the request, and of all slots that offer the deal, the highest counts, and the
price is fixed if one of them says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import reduce

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.columns import Deal
from adserver.catalogue.market import Market
from adserver.edition import Edition
from adserver.request import AdRequest, OfferedDeal
from retrieval.query import Candidates

NO_FLOOR = -1


@dataclass(frozen=True, slots=True)
class Dealing:
    """[R] of candidates; made only for batches in which one is tied to a deal."""

    deal: NDArray[np.int32]
    """Id, -1 in the open market."""
    slots: NDArray[np.uint32]
    """Those of the candidate in which its deal is offered; none: it is not in the deal."""
    floor_micros: NDArray[np.int64]
    fixed_price: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class DealTerms:
    """Of one deal in one request."""

    slots: int
    floor_micros: int
    fixed_price: bool
    domains: frozenset[str]

    def joined(self, other: DealTerms) -> DealTerms:
        return DealTerms(
            self.slots | other.slots,
            max(self.floor_micros, other.floor_micros),
            self.fixed_price or other.fixed_price,
            self.domains & other.domains
            if self.domains and other.domains
            else self.domains | other.domains,
        )


OfferedDeals = Sequence[dict[int, DealTerms]]
"""[B] by deal id."""


def dealing(candidates: Candidates, offered: OfferedDeals, edition: Edition) -> Dealing | None:
    """None where no candidate is tied to a deal."""
    line_item = edition.snapshot.ads.line_item[candidates.ad]
    deal = edition.snapshot.line_items.deal[line_item]
    tied = np.flatnonzero(deal >= 0)
    if not tied.size:
        return None
    found = Dealing(
        deal,
        candidates.slots.copy(),
        np.full(len(deal), NO_FLOOR, np.int64),
        np.zeros(len(deal), np.bool_),
    )
    owner = np.searchsorted(candidates.offset, tied, "right") - 1
    for row, request, number in zip(tied.tolist(), owner.tolist(), deal[tied], strict=True):
        terms = offered[request].get(int(number))
        if terms is None or not _welcome(terms, edition, int(candidates.ad[row])):
            found.slots[row] = 0
            continue
        found.slots[row] &= np.uint32(terms.slots)
        found.floor_micros[row] = terms.floor_micros
        found.fixed_price[row] = terms.fixed_price
    return found


def offered_deals(request: AdRequest, market: Market) -> dict[int, DealTerms]:
    """Deal id -> what the request offers it for; deals that the catalogue knows, and that may."""
    terms: dict[int, list[DealTerms]] = {}
    for number, slot in enumerate(request.slots):
        for offer in slot.deals:
            deal = market.deals.get(offer.key)
            if deal is not None and _admits(deal, offer, request.publisher):
                floor = max(offer.floor_micros, market.deal_floor(deal))
                fixed = offer.fixed_price or deal.fixed_price
                one = DealTerms(1 << number, floor, fixed, frozenset(offer.domains))
                terms.setdefault(deal.id, []).append(one)
    return {deal: reduce(DealTerms.joined, ones) for deal, ones in terms.items()}


def _admits(deal: Deal, offer: OfferedDeal, publisher: str) -> bool:
    """A deal in which both sides name buyers needs one that both know."""
    here = deal.active and deal.publisher in {"", publisher}
    return here and (not (deal.seats and offer.seats) or not _apart(deal.seats, offer.seats))


def _apart(some: Iterable[str], others: Iterable[str]) -> bool:
    return set(some).isdisjoint(others)


def _welcome(terms: DealTerms, edition: Edition, ad: int) -> bool:
    if not terms.domains:
        return True
    owner = edition.snapshot.names.advertiser[int(edition.snapshot.ads.advertiser[ad])]
    return owner.domain in terms.domains
