"""What changes within a second: pauses, bids, budgets, goals and rates, laid over one snapshot.

The database is polled for its revision; only rows that changed since are read. Arrays that were
handed out are never written again: whoever holds a `Live` keeps a consistent one. New ads and new
targeting wait for the next snapshot.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from adserver.catalogue import offers, schema
from adserver.catalogue.codes import NONE
from adserver.catalogue.columns import LineItemColumns
from adserver.catalogue.market import Market
from adserver.catalogue.reading import ACTIVE, current_revision
from adserver.catalogue.snapshot import Snapshot
from adserver.catalogue.terms import (
    Changed,
    Terms,
    changed_rows,
    changes_since,
    place_of,
)
from adserver.catalogue.value import base_value
from auction.columns import STANDARD_TIER
from ranking.table import AdTable
from retrieval.query import Live

HOUSE_TIER = 90
"""From here on, ads that fill what nobody buys: they never displace a candidate who pays."""


class Overlay:
    """The live part of one snapshot as one model weighs its ads; one owner, who calls `refresh`
    twice a second."""

    def __init__(
        self,
        snapshot: Snapshot,
        database: Engine,
        now: float,
        viewability_ppm: int = offers.PRIOR_VIEWABILITY_PPM,
        log_odds: NDArray[np.float32] | None = None,
    ) -> None:
        """`log_odds` [N] are the ads' own by the model that serves; None: by that which the
        snapshot was built with."""
        self._ads, self._database, self._viewability = snapshot.ads, database, viewability_ppm
        self.revision = snapshot.manifest.revision
        """The last change that is in effect here."""
        self.trouble = ""
        """Why the database could not be asked the last time; what was known before stands."""
        self.terms = Terms(
            snapshot.line_items,
            snapshot.campaigns,
            snapshot.advertisers,
            Market.of(snapshot.market),
        )
        """Today's columns. These and all that follow are replaced, never edited."""
        self._owners = self.terms.owners()
        self.accounts = self.terms.accounts()
        """[L, LEVELS] the budgets that pay for each line item's ads; -1 where there is none."""
        self._offered = self._bids()
        self.bid_micros = self._offered[self._ads.line_item]
        """[N] today's bid of each ad in US dollars, before pacing."""
        self.budget = self.terms.daily_budgets()
        """[largest campaign id + 1] US dollars a day, in micros, by campaign id."""
        self.limits = self.terms.limits(self._owners)
        """Of every budget: what the books are to hold."""
        if log_odds is None:
            log_odds = AdTable.load(snapshot.folder / "ranker").bias
        self._log_odds = log_odds
        self._labels = bool(self._ads.labels.any())
        self._by_ad_id = np.argsort(self._ads.ad_id, kind="stable")
        self.live = Live(
            np.zeros(0, np.uint64),
            np.array(self._ads.active, np.uint8),
            base_value(self.bid_micros, self._ads.per_click, self._log_odds),
        )
        """What retrieval takes."""
        self._take_stock()
        self.refresh(now, None)

    @property
    def items(self) -> LineItemColumns:
        """Today's line items."""
        return self.terms.items

    @property
    def has_packages(self) -> bool:
        """Some line item wants to win together or not at all."""
        return self._packages

    @property
    def has_labels(self) -> bool:
        """Some ad has competitors."""
        return self._labels

    @property
    def market(self) -> Market:
        """Today's deals, floors and rates."""
        return self.terms.market

    @property
    def event_cost(self) -> NDArray[np.int64]:
        """[L] US dollars, in micros, that one billable event can cost at most."""
        return self._cost

    @property
    def event_rate(self) -> NDArray[np.int64]:
        """[L] conversions per million clicks, or viewables per million impressions, as it pays."""
        return self._event_rate

    def refresh(self, now: float, remaining: NDArray[np.int64] | None) -> Live:
        """Bring in what the database says, the flights of `now` (wall seconds), the money left.

        `remaining` is micros left by account; None: the whole budgets. A line item runs while
        its accounts can all still pay for one event at its full bid. A database that cannot be
        asked changes nothing but `trouble`.
        """
        try:
            self._poll()
            self.trouble = ""
        except SQLAlchemyError as error:
            self.trouble = str(error)
        bits = packed(self._running(now, remaining))
        if not np.array_equal(bits, self.live.line_item):
            self.live = replace(self.live, line_item=bits)
        return self.live

    def _poll(self) -> None:
        with schema.one_state(self._database) as connection:
            latest = current_revision(connection)
            if latest == self.revision:
                return
            changed = changes_since(connection, self.revision)
            terms = self.terms.after(connection, changed)
            self._take_ads(connection, changed)
        if terms is not self.terms:
            self.terms = terms
            self._take_bids()
            self._take_stock()
        self.revision = latest

    def _take_ads(self, connection: Connection, changed: Changed) -> None:
        ad = self.live.ad.copy()
        for row in changed_rows(connection, schema.ad, changed):
            place = place_of(self._ads.ad_id, row.id, self._by_ad_id)
            if place is not None:
                ad[place] = row.status == ACTIVE
        self.live = replace(self.live, ad=ad)

    def _bids(self) -> NDArray[np.int64]:
        self._event_rate = offers.event_rates(self.items, self._viewability)
        return offers.bids(self.items, self.terms.rate(self._owners), self._event_rate)

    def _take_bids(self) -> None:
        offered = self._bids()
        moved = np.flatnonzero(offered != self._offered)
        if not len(moved):
            return
        bid, base, start = self.bid_micros.copy(), self.live.base.copy(), self.items.ad_start
        for line_item in moved.tolist():
            part = slice(int(start[line_item]), int(start[line_item + 1]))
            bid[part] = offered[line_item]
            base[part] = base_value(bid[part], self._ads.per_click[part], self._log_odds[part])
        self.bid_micros, self._offered = bid, offered
        self.live = replace(self.live, base=base)

    def _take_stock(self) -> None:
        terms, owners = self.terms, self._owners
        limits = terms.limits(owners)
        if not all(np.array_equal(a, b) for a, b in zip(limits, self.limits, strict=True)):
            self.limits, self.budget = limits, terms.daily_budgets()
        tier = terms.items.tier
        self.live = replace(
            self.live,
            first=_bits_if_any(tier < STANDARD_TIER),
            last=_bits_if_any(tier >= HOUSE_TIER),
        )
        self._packages = bool((terms.items.package != NONE).any())
        self._not_paused = terms.not_paused(owners)
        self._cost = offers.event_costs(terms.items, terms.rate(owners))
        self._purse = terms.purses(owners)

    def _running(self, now: float, money: NDArray[np.int64] | None) -> NDArray[np.bool_]:
        items, cost = self.items, np.maximum(self._cost, 1)
        # a budget just cut to nothing stops its campaign before the ledger has heard of it
        affordable = self._purse >= cost
        if money is not None and money.size:
            for account in self.accounts.T:
                known = (account >= 0) & (account < len(money))
                affordable &= (money[np.where(known, account, 0)] >= cost) | ~known
        in_flight = (items.start_s <= now) & (now < items.end_s)
        running: NDArray[np.bool_] = self._not_paused & in_flight & affordable
        return running


def _bits_if_any(flags: NDArray[np.bool_]) -> NDArray[np.uint64] | None:
    return packed(flags) if flags.any() else None


def packed(flags: NDArray[np.bool_]) -> NDArray[np.uint64]:
    """[ceil(L / 64)] flag l is bit l % 64 of word l // 64."""
    padded = np.zeros(-(-len(flags) // 64) * 64, np.bool_)
    padded[: len(flags)] = flags
    return np.packbits(padded, bitorder="little").view("<u8").astype(np.uint64, copy=False)
