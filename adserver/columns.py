"""Between the libraries: candidates become bids, and the gate looks at what changes by the second.

Retrieval, ranking and auction do not know each other; their columns meet here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.codes import NONE
from adserver.dealing import Dealing
from adserver.edition import Edition
from adserver.encode import Encoded
from adserver.request import AdRequest
from adserver.seen import Seen
from auction.columns import Bids, Rejection
from ranking.bundle import Bundle
from ranking.counting.board import Board, Counted
from ranking.scorer import FALLBACK, Pairs
from ranking.tiers import Scores
from retrieval.query import Candidates


def gate(
    requests: Sequence[AdRequest],
    candidates: Candidates,
    edition: Edition,
    remaining_micros: NDArray[np.int64],
    seen: Seen,
) -> NDArray[np.uint8]:
    """[R] rejection code of candidates that need no score: seen too often or on the page already,
    no budget left, creative refused."""
    ads = edition.snapshot.ads
    rejected = seen.gate(candidates.offset, candidates.ad)
    account = edition.overlay.accounts[ads.line_item[candidates.ad]]
    money = np.where(account >= 0, remaining_micros[account], 1)
    rejected[(rejected == 0) & (money <= 0).any(axis=1)] = Rejection.BUDGET
    for row, request in enumerate(requests):
        if request.blocked_creatives:
            part = slice(candidates.offset[row], candidates.offset[row + 1])
            hit = np.isin(ads.ad_id[candidates.ad[part]], _numbers(request.blocked_creatives))
            rejected[part][hit] = Rejection.CREATIVE_BLOCKED
    return rejected


def _numbers(creatives: Sequence[str]) -> list[int]:
    """Of creative ids as answers spell them ("c77"); others are nobody's."""
    return [int(name[1:]) for name in creatives if name[:1] == "c" and name[1:].isdecimal()]


def within_terms(
    rejected: NDArray[np.uint8],
    candidates: Candidates,
    deals: Dealing | None,
    encoded: Encoded,
    edition: Edition,
) -> NDArray[np.uint8]:
    """[R] the codes with NOT_IN_DEAL for whose deal is not offered, ROADBLOCK for a part of a
    package where the request may not have all slots of its page."""
    rejected = rejected.copy()
    if deals:
        rejected[(rejected == 0) & (deals.slots == 0)] = Rejection.NOT_IN_DEAL
    if edition.overlay.has_packages and not encoded.complete.all():
        items, ads = edition.overlay.items, edition.snapshot.ads
        part = items.package[ads.line_item[candidates.ad]] != NONE
        part &= np.repeat(~encoded.complete, np.diff(candidates.offset))
        rejected[(rejected == 0) & part] = Rejection.ROADBLOCK
    return rejected


def bids_of(
    candidates: Candidates,
    odds: NDArray[np.float32],
    rejected: NDArray[np.uint8],
    deals: Dealing | None,
    edition: Edition,
) -> Bids:
    """What each candidate offers, and its click rate in each slot of its request by the log-odds
    [R, S] that the model gives it there."""
    ads, items, row = edition.snapshot.ads, edition.overlay.items, candidates.ad
    line_item = ads.line_item[row]
    packages = edition.overlay.has_packages
    kind = items.package[line_item] if packages else None
    return Bids(
        offset=candidates.offset,
        ad=row,
        creative=ads.creative[row],
        advertiser=ads.advertiser[row],
        account=edition.overlay.accounts[line_item],
        bid_micros=edition.overlay.bid_micros[row],
        per_click=ads.per_click[row],
        pctr_ppm=edition.bundle.calibration.ppm(odds),
        slots=deals.slots if deals else candidates.slots,
        rejected=rejected,
        tier=items.tier[line_item],
        share=items.share[line_item],
        deal=deals.deal if deals else None,
        floor_micros=deals.floor_micros if deals else None,
        fixed_price=deals.fixed_price if deals else None,
        labels=ads.labels[row] if edition.overlay.has_labels else None,
        package=None if kind is None else np.where(kind == NONE, 0, line_item + 1).astype(np.int32),
        package_kind=None if kind is None else np.where(kind == NONE, 0, kind).astype(np.uint8),
    )


def pairs_of(candidates: Candidates, encoded: Encoded, edition: Edition) -> Pairs:
    """What the edition's model is to score."""
    return Pairs(
        edition.version,
        encoded.vector,
        encoded.bias,
        candidates.ad,
        candidates.offset,
        edition.bundle.version,
    )


def counted_of(candidates: Candidates, encoded: Encoded, edition: Edition, board: Board) -> Counted:
    """What has been counted of each candidate in each slot."""
    return Counted(candidates.offset, candidates.ad, encoded.places, edition.ad_keys, board)


def odds_of(
    scores: Scores, counted: Counted, slot_bias: NDArray[np.float32], bundle: Bundle
) -> NDArray[np.float32]:
    """[R, S] log-odds with what slots and counts add by whichever model gave the scores."""
    if scores.quality == FALLBACK:
        return counted.with_weights(scores.logit, slot_bias, bundle.logistic.count)
    return counted.with_head(scores.logit, slot_bias, bundle.count)
