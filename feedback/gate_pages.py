"""Pages made of logged impressions alone: what the gate replays where no auctions were recorded.

A page is a request with the slots that it was shown in. Against the ad that was shown stand others
that were lately shown in the same placement. Bids are made up, since a click log has none.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from auction.columns import MILLE, Slots
from auction.mechanism import MOST_SLOTS
from auction.settings import AuctionSettings
from feedback.gate_replay import Pages, replay_of, unlimited
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, bag_starts, first_rows
from ranking.gate import Replay


@dataclass(frozen=True, slots=True)
class PageSettings:
    pages: int = 10_000
    """Of the newest requests. A share of flips of one percent is then known within 0.2 points."""
    contenders: int = 8
    """Drawn for each slot. More make contests closer and flips more frequent."""
    typical_micros: int = 2_000_000
    """Median bid per thousand impressions; bids per click are worth as much at the average rate."""
    spread: float = 0.7
    """Of the bids' logarithm: about what separates advertisers after a market's own selection.
    Less makes contests closer."""
    seed: int = 7


def replay_newest(table: Path, pages: int, rules: AuctionSettings) -> Replay | None:
    """Of pages made from the newest impressions in the .npz file; None where none are wanted."""
    if pages < 1:
        return None
    return replay_of(pages_of(Impressions.load(table), PageSettings(pages=pages)), rules)


def pages_of(table: Impressions, settings: PageSettings | None = None) -> Pages:
    """The newest requests of the table, each with its slots and contenders."""
    chosen = settings or PageSettings()
    rng = np.random.default_rng(chosen.seed)
    newest = _newest(table, chosen.pages)
    number = np.arange(len(newest)) - newest.starts()[newest.of]
    drawn = _rivals(table, newest, chosen.contenders, rng)
    contest = _contest(newest, table, number, drawn)
    asked, contender, which = _asked(newest, contest)
    page = contest.page
    bid, per_click = _bids(table, chosen, rng)
    ad = contest.ad
    bids = unlimited(
        np.searchsorted(page, np.arange(len(newest.request) + 1)).astype(np.int32),
        ad,
        _field(table.catalogue, "advertiser")[ad],
        bid[ad],
        per_click[ad],
        contest.fits,
    )
    slots = Slots(
        offset=newest.starts().astype(np.int32),
        floor_micros=np.zeros(len(newest), np.int64),
        first_price=np.zeros(len(newest.request), np.bool_),
        seed=rng.integers(0, 2**63, len(newest.request)).astype(np.uint64),
    )
    source = "the newest impressions, rivals from the same placements, bids made up"
    return Pages(asked, contender, which, bids, slots, source)


def _newest(table: Impressions, pages: int) -> Impressions:
    """The last requests that have impressions; of each at most as many as a page has slots."""
    filled = np.unique(table.of)
    first = int(filled[-pages]) if len(filled) > pages else 0
    part = table.part(first, len(table.request))
    return part.where(np.arange(len(part)) - part.starts()[part.of] < MOST_SLOTS)


def _rivals(
    table: Impressions, newest: Impressions, each: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """[T, each] rows of `table` in the placement of each row of `newest`."""
    place = table.slot[:, 0]
    order = np.argsort(place, kind="stable")
    low, high = (
        np.searchsorted(place[order], newest.slot[:, 0], side) for side in ("left", "right")
    )
    at = low[:, None] + rng.random((len(newest), each)) * (high - low)[:, None]
    return order[at.astype(np.int64)]


@dataclass(frozen=True, slots=True)
class _Contest:
    """R contenders, by page and ad."""

    page: NDArray[np.int64]
    ad: NDArray[np.int32]
    fits: NDArray[np.uint32]
    counts: NDArray[np.float32]
    """Of the ad's own impression here, else of the one that it was drawn by."""


def _contest(
    newest: Impressions, table: Impressions, number: NDArray[np.int64], drawn: NDArray[np.int64]
) -> _Contest:
    each = drawn.shape[1]
    page = np.concatenate([newest.of, np.repeat(newest.of, each)]).astype(np.int64)
    ad = np.concatenate([newest.ad, table.ad[drawn.ravel()]]).astype(np.int64)
    counts = np.concatenate([newest.counts, table.counts[drawn.ravel()]])
    bit = np.uint32(1) << np.concatenate([number, np.repeat(number, each)]).astype(np.uint32)
    ads = len(table.catalogue)
    key, first, place = np.unique(page * ads + ad, return_index=True, return_inverse=True)
    fits = np.zeros(len(key), np.uint32)
    np.bitwise_or.at(fits, place, bit)
    return _Contest(key // ads, (key % ads).astype(np.int32), fits, counts[first])


def _asked(
    newest: Impressions, contest: _Contest
) -> tuple[Impressions, NDArray[np.int64], NDArray[np.int64]]:
    """One row for each slot that a contender fits, the contender's row, and the slot's number."""
    bits = np.arange(int(np.bitwise_or.reduce(contest.fits, initial=0)).bit_length())
    contender, number = np.nonzero((contest.fits[:, None] >> bits.astype(np.uint32)) & 1)
    page = contest.page[contender]
    rows = len(contender)
    asked = Impressions(
        request=newest.request,
        catalogue=newest.catalogue,
        of=page.astype(np.int32),
        ad=contest.ad[contender],
        slot=newest.slot[newest.starts()[page] + number],
        click=np.zeros(rows, np.uint8),
        truth=np.empty(0, np.float32),
        counts=contest.counts[contender],
        weight=np.ones(rows, np.float32),
        time_ms=np.empty(0, np.int64),
    )
    return asked, contender, number


def _bids(
    table: Impressions, settings: PageSettings, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """[N] every ad's bid, and whether it is one per click."""
    per_click = _field(table.catalogue, "per_click") == 1
    rate = max(float(table.click.mean()), 1e-4)
    typical = np.where(per_click, settings.typical_micros / MILLE / rate, settings.typical_micros)
    factor = np.exp(rng.normal(0.0, settings.spread, len(per_click)))
    return np.rint(typical * factor).astype(np.int64), per_click


def _field(catalogue: NDArray[np.int32], name: str) -> NDArray[np.int32]:
    """[N] the value of a field of encoded ads, 0 for none."""
    at = bag_starts(AD_FIELDS)[[field.name for field in AD_FIELDS].index(name)]
    value: NDArray[np.int32] = catalogue[:, at] - np.int32(first_rows(AD_FIELDS)[name])
    return np.maximum(value, 0)
