"""One decision in words and figures: who won each slot and why at that price, and why others lost.

Reads a page's record and nothing else; what it says is what the auction was given and gave.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any

import numpy as np

from adserver.auctions.price_to_win import NO_BID_WINS, prices_on_page
from adserver.auctions.record import AuctionRecord
from adserver.auctions.scores import Scores, per_mille, tiers, units
from adserver.exploring import propensities
from auction.columns import MILLE, PPM, Rejection
from auction.settings import AuctionSettings, Mode

HOW = {
    "FIRST_PRICE": "the request asked for first prices: the winner pays its bid",
    "FIXED_PRICE": "its deal has a fixed price",
    "OWN_BID": "what the next one would have asked for is more than its bid, so it pays its bid",
    "FLOOR": "nobody else came near: it pays the floor",
    "CONTRACT": "its tier holds no auction: contracts and draws pay their bid",
    "NEXT_SCORE": "the least bid that still beats the next score, plus the increment",
    "LOT": "the slot went by lot, to learn: only this one could buy, and it pays the floor",
    "JOINT": "what its presence costs the others on the page",
}
"""How a price came about."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """Of one page. `micros` fields are as line items give them, `cpm` ones per thousand."""

    page: AuctionRecord
    settings: AuctionSettings
    scores: Scores

    @classmethod
    def of(cls, page: AuctionRecord, settings: AuctionSettings) -> Explanation:
        return cls(page, settings, Scores.of(page))

    def slots(self) -> list[dict[str, Any]]:
        """Each slot: its terms, its winner and price, who set it, and the sale without fairness."""
        return [self._slot(slot) for slot in range(len(self.page.slots.floor_micros))]

    def counts(self) -> dict[str, int]:
        """Candidates by what became of them; they sum to all candidates."""
        codes, counts = np.unique(self.page.slate.rejected, return_counts=True)
        return {
            Rejection(code).name: count
            for code, count in zip(codes.tolist(), counts.tolist(), strict=True)
        }

    def candidates(self, offset: int, limit: int) -> list[dict[str, Any]]:
        """The winners, then the others by their best score: `limit` of them from `offset` on."""
        rows = self._order()[offset : offset + limit]
        prices = prices_on_page(self.page, rows, self.settings).tolist()
        return [
            {**self._candidate(row), "price_to_win": self._to_win(row, price)}
            for row, price in zip(rows.tolist(), prices, strict=True)
        ]

    def _order(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        page = self.page
        lost = page.slate.rejected != Rejection.WON
        best = self.scores.score.max(axis=1, initial=-(1 << 62))
        order: np.ndarray[Any, np.dtype[np.int64]] = np.lexsort((-best, tiers(page.bids), lost))
        return order

    def _slot(self, slot: int) -> dict[str, Any]:
        page, slate = self.page, self.page.slate
        asked = page.request().slots[slot]
        winner, plain = int(slate.winner[slot]), int(slate.plain_winner[slot])
        sold = bool(page.notes.sold[slot])
        told: dict[str, Any] = {
            "slot": asked.id,
            "placement": asked.placement,
            "floor_micros": int(page.slots.floor_micros[slot]),
            "private": page.slots.private is not None and bool(page.slots.private[slot]),
            "outcome": self._outcome(slot).name,
            "relaxed": bool(slate.relaxed[slot]),
            "explored": self._explored(slot),
            "propensity": self._propensity(slot),
        }
        if winner >= 0:
            told["winner"] = self._candidate(winner) | {"in_this_slot": self._in_slot(winner, slot)}
            told["price"] = self._price(slot, winner)
            told["taken_back"] = not sold
        told["without_fairness"] = (
            {"ad": self._ad(plain), "clear_cpm_micros": int(slate.plain_clear_micros[slot])}
            if plain >= 0
            else None
        )
        return told

    def _explored(self, slot: int) -> bool:
        explored = self.page.slate.explored
        return explored is not None and bool(explored[slot])

    def _propensity(self, slot: int) -> float | None:
        """With what probability the winner came to stand there; None beside an explored slot."""
        chance = float(propensities(self.page.slots, self.page.slate)[slot])
        return None if isnan(chance) or self.page.slate.winner[slot] < 0 else round(chance, 6)

    def _outcome(self, slot: int) -> Rejection:
        answered = self.page.notes.outcome
        return Rejection(int(self.page.slate.reason[slot] if answered is None else answered[slot]))

    def _price(self, slot: int, winner: int) -> dict[str, Any]:
        slate, second = self.page.slate, int(self.page.slate.runner_up[slot])
        how = "LOT" if self._explored(slot) else self._how(slot, winner)
        return {
            "clear_cpm_micros": int(slate.clear_micros[slot]),
            "charge_micros": int(slate.charge_micros[slot]),
            "per": self._per(winner),
            "set_by": how,
            "means": HOW[how],
            "floor_micros": self._floor(slot, winner),
            "increment_micros": self.settings.increment_micros,
            "next": self._in_slot(second, slot) | {"ad": self._ad(second)} if second >= 0 else None,
        }

    def _how(self, slot: int, winner: int) -> str:
        page, charge = self.page, int(self.page.slate.charge_micros[slot])
        if page.bids.fixed_price is not None and page.bids.fixed_price[winner]:
            return "FIXED_PRICE"
        if page.slots.first_price[0]:
            return "FIRST_PRICE"
        tier = int(tiers(page.bids)[winner])
        if self.settings.modes.get(tier, Mode.AUCTION) is not Mode.AUCTION:
            return "CONTRACT"
        if charge == int(self.scores.unit[winner]):
            return "OWN_BID"
        event = int(self.scores.event_ppm[winner, slot])
        if charge == -(-self._floor(slot, winner) * MILLE // event):
            return "FLOOR"
        return "NEXT_SCORE" if charge == self._against_next(slot, winner) else "JOINT"

    def _against_next(self, slot: int, winner: int) -> int:
        """The least bid for one event that ranks as the next score asks, plus the increment."""
        second, scores = int(self.page.slate.runner_up[slot]), self.scores
        if second < 0:
            return -1
        weight, event = (int(of[winner, slot]) for of in (scores.weight_ppm, scores.event_ppm))
        asked = int(scores.score[second, slot]) + int(scores.dual[winner, slot])
        increment = self.settings.increment_micros * MILLE
        return -(-(asked * event + increment * weight) // (weight * event))

    def _floor(self, slot: int, row: int) -> int:
        """What the row had to bid for the slot, in micros per thousand impressions."""
        page, bids = self.page, self.page.bids
        floor = max(int(page.slots.floor_micros[slot]), self.settings.minimum_floor_micros)
        if bids.floor_micros is not None and bids.floor_micros[row] >= 0:
            floor = int(bids.floor_micros[row])
        own = 0 if bids.reserve_micros is None else int(bids.reserve_micros[row])
        return max(floor, own)

    def _candidate(self, row: int) -> dict[str, Any]:
        page, bids = self.page, self.page.bids
        full = bids.bid_micros if bids.full_bid_micros is None else bids.full_bid_micros
        whole, offered = (int(units(bids, of)[row]) for of in (full, bids.bid_micros))
        request = page.request()
        return {
            "ad": self._ad(row),
            "advertiser": int(bids.advertiser[row]),
            "code": Rejection(int(page.slate.rejected[row])).name,
            "tier": int(tiers(bids)[row]),
            "deal": -1 if bids.deal is None else int(bids.deal[row]),
            "bid_micros": int(bids.bid_micros[row]),
            "per": self._per(row),
            "full_bid_micros": int(full[row]),
            "pacing": round(offered / whole, 6) if whole else 1.0,
            "slots": [
                {"slot": asked.id} | self._in_slot(row, slot)
                for slot, asked in enumerate(request.slots)
                if int(bids.slots[row]) >> slot & 1
            ],
        }

    def _in_slot(self, row: int, slot: int) -> dict[str, Any]:
        scores = self.scores
        event, weight = int(scores.event_ppm[row, slot]), int(scores.weight_ppm[row, slot])
        return {
            "pctr": int(self.page.bids.pctr_ppm[row, slot]) / PPM,
            "quality": round(weight / event, 6),
            "rank_cpm_micros": int(per_mille(scores.rank[row, slot])),
            "dual_cpm_micros": int(per_mille(scores.dual[row, slot])),
            "score_cpm_micros": int(per_mille(scores.score[row, slot])),
        }

    def _to_win(self, row: int, price: int) -> dict[str, Any] | None:
        """The least bid that would have won; None where no bid would."""
        if price == NO_BID_WINS:
            return None
        missing = price - int(self.page.bids.bid_micros[row])
        return {"bid_micros": price, "per": self._per(row), "more_micros": max(0, missing)}

    def _per(self, row: int) -> str:
        return "click" if self.page.bids.per_click[row] else "thousand impressions"

    def _ad(self, row: int) -> int:
        return int(self.page.notes.ad_id[row])
