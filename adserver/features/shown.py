"""From a decided batch to the rows of the feature log: what the model saw of what was sold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.decision import Decision
from adserver.exploring import propensities
from adserver.features.cells import Floats
from adserver.features.rows import Rows
from adserver.verdict import Verdict
from auction.columns import PPM, Slate
from ranking.counting.board import Counted


@dataclass(frozen=True, slots=True)
class Shown:
    """[T] of each slot's winner, as of the auction; meaningless where nobody won."""

    counts: Floats
    """[T, COUNTS]"""
    logit: Floats
    """Before calibration, all that was added included."""


def shown_of(verdict: Verdict, counted: Counted, odds: Floats) -> Shown:
    """To be asked before the board changes: at once, in the same turn of the loop."""
    if not len(odds):
        none = np.zeros(len(verdict.owner), np.float32)
        return Shown(none.reshape(-1, 1), none)
    pair = np.maximum(verdict.slate.winner, 0).astype(np.intp)
    counts = counted.counts(verdict.owner, pair, verdict.place)
    return Shown(counts, odds[pair, verdict.place])


def rows_of(verdict: Verdict, shown: Shown, decisions: Sequence[Decision], at_ms: int) -> Rows:
    """Of every slot that stayed sold and was no test."""
    at = np.flatnonzero(_sold(decisions))
    owner, row, edition = verdict.owner[at], verdict.row[at], verdict.edition
    count = len(at)
    pctr_ppm = np.array(verdict.winners.pctr_ppm, np.float64)[at] if count else np.zeros(0)
    return Rows(
        decision=np.array(verdict.numbers, np.uint64)[owner],
        slot=verdict.place[at].astype(np.int16),
        t=np.full(count, at_ms, np.int64),
        ad=edition.snapshot.ads.ad_id[row],
        request=verdict.encoded.features[owner],
        ads=edition.snapshot.encoded[row],
        slot_ids=verdict.encoded.slot_ids[at],
        counts=shown.counts[at],
        logit=shown.logit[at],
        pctr=(pctr_ppm / PPM).astype(np.float32),
        model=np.full(count, edition.bundle.version, np.int32),
        arm=[verdict.arm.name] * count,
        quality=np.full(count, verdict.quality, np.int8),
        snapshot=np.full(count, edition.version, np.int64),
        propensity=propensities(verdict.encoded.slots, verdict.slate)[at],
        explored=_explored(verdict.slate)[at],
    )


def _explored(slate: Slate) -> NDArray[np.bool_]:
    return np.zeros(len(slate.winner), np.bool_) if slate.explored is None else slate.explored


def _sold(decisions: Sequence[Decision]) -> NDArray[np.bool_]:
    sold = [
        outcome.sold is not None and not decision.request.test
        for decision in decisions
        for outcome in decision.outcomes
    ]
    return np.array(sold, np.bool_)
