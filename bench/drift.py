"""Drift in a simulated market: false alarms of ten quiet days, hours until a shift is told.

    python -m bench.drift

Each visit is shown one ad, drawn evenly among those that may be shown: a policy that never changes.
The committed click model predicts, calibrated on the reference's week; bots are left out, as labels
leave robots out. Ten quiet days follow, or a shift at ten in the morning of the second day, and two
days after it. One JSON line per size and seed of quiet days, and one per size and shift.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from adserver.training import encoded_ads
from feedback.drift.hours import Hours, merged
from feedback.drift.reference import Reference, reference_of
from feedback.drift.scales import DAY, Scales, judge_scales
from feedback.drift.settings import HOUR_MS, DriftSettings
from ranking import judge as scoring
from ranking.bundle import Bundle
from ranking.calibration import Calibration
from ranking.columns import Coded, RequestColumns, encode_request_columns
from ranking.dataset import Impressions
from ranking.features import encode_slot
from simulator.draw import hashed_uniform
from simulator.impressions import request_columns, slot_names
from simulator.market.eligible import Fits
from simulator.market.market import Market, Shown
from simulator.market.settings import MarketSettings, Shift, ShiftKind
from simulator.market.traffic import Traffic, joined

MODEL = Path(__file__).parent.parent / "model_repository" / "ctr_ranker" / "1"
SHIFT_HOUR = 10
SIZES = (10_000, 30_000, 100_000)
STATED_H = {
    ShiftKind.CLICKS_FALL: (134, 62, 38),
    ShiftKind.INTERESTS_SWAP: (62, 62, 62),
    ShiftKind.DOMAIN_FLOODS: (3, 3, 3),
    ShiftKind.SEGMENTS_VANISH: (3, 3, 3),
}
"""Hours within which docs/operations.md says that a shift is told, by visits a day as in SIZES."""
SHIFTS = {
    ShiftKind.CLICKS_FALL: (0.5, "phone"),
    ShiftKind.INTERESTS_SWAP: (1.0, ""),
    ShiftKind.DOMAIN_FLOODS: (0.1, ""),
    ShiftKind.SEGMENTS_VANISH: (0.5, ""),
}
"""How large, and of what."""
Day = tuple[Impressions, NDArray[np.float32]]
"""Impressions and their log-odds."""


@dataclass(frozen=True, slots=True)
class Scene:
    """What all markets of one size and seed have in common."""

    market: Market
    bundle: Bundle
    ads: NDArray[np.int32]
    """Encoded."""
    map: Calibration
    reference: Reference

    @classmethod
    def of(cls, settings: MarketSettings, days: int) -> Scene:
        """The reference is the market's first days."""
        market, bundle = Market(settings), Bundle.load(MODEL)
        ads = encoded_ads(market.catalogue)
        known = [shown(market, ads, bundle, day) for day in range(days)]
        logit = np.concatenate([one for _, one in known])
        table = Impressions.joined([one for one, _ in known])
        fitted = Calibration.fit(logit, table.click)
        vector = bundle.towers.request(table.request)[0]
        return cls(market, bundle, ads, fitted, reference_of(table, fitted(logit), vector))

    def observe(self, market: Market, days: Sequence[int]) -> Hours:
        return merged([self._day(market, day) for day in days])

    def _day(self, market: Market, day: int) -> Hours:
        table, logit = shown(market, self.ads, self.bundle, day)
        vector = self.bundle.towers.request(table.request)[0]
        return self.reference.observe(table, self.map(logit), vector)

    def judge(self, hours: Hours, settings: DriftSettings) -> Scales:
        return judge_scales(self.reference, hours, settings, np.random.default_rng(7))


def shown(market: Market, ads: NDArray[np.int32], bundle: Bundle, day: int) -> Day:
    """One day's impressions of people, with what they clicked."""
    traffic = joined(list(market.day(day).hours()))
    traffic = traffic.rows(np.flatnonzero(~traffic.bot))
    row, ad = _drawn(market.fitting(traffic), traffic.number)
    traffic = traffic.rows(row)
    placement = traffic.visit.placement[:, 0]
    visit = np.arange(len(row), dtype=np.int32)
    rng = np.random.default_rng([market.settings.seed, day])
    clicked = market.respond(market.crowd(traffic), Shown(visit, ad, placement), rng).click
    slots = np.array([encode_slot(*one, 0) for one in slot_names(market.world)])
    table = Impressions.uncounted(
        _encoded(market, traffic), ads, visit, ad, slots[placement],
        clicked.astype(np.uint8), np.empty(0, np.float32),
    )  # fmt: skip
    table = replace(table, time_ms=(traffic.at_s * 1000).astype(np.int64))
    return table, scoring.served(bundle)(table)


def _drawn(fits: Fits, number: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Visits that an ad may be shown on in their first slot, and one such ad of each."""
    pairs = fits.pairs()
    first = np.flatnonzero(pairs.slot == 0)
    visit, start, count = np.unique(pairs.visit[first], return_index=True, return_counts=True)
    chosen = start + (hashed_uniform(number[visit], 91) * count).astype(np.int64)
    return visit.astype(np.int64), pairs.ad[first[chosen]]


def _encoded(market: Market, traffic: Traffic) -> NDArray[np.int32]:
    fields: dict[str, Any] = {
        name: Coded(*column) if isinstance(column, tuple) else column
        for name, column in request_columns(market.world, traffic.visit).items()
    }
    return encode_request_columns(RequestColumns(**fields))


def quiet(scene: Scene, first: int, days: int, settings: DriftSettings) -> dict[str, Any]:
    """Alarms of days without a shift; none is expected."""
    found = scene.judge(scene.observe(scene.market, range(first, first + days)), settings)
    begin = int(scene.market.midnight_s(first) * 1000) // HOUR_MS
    told, sums, calibration = alarms(found, begin), found.windows.sums, found.windows.calibration
    return {
        "value": len(told),
        "unit": "alarms",
        "alarms": told,
        "windows": len(found.windows.hour),
        "copc": round(float(calibration.click.sum() / calibration.expected.sum()), 3),
        "largest_sum": round(float(max(sums.above.max(), sums.below.max())), 2),
    }


def alarms(found: Scales, begin: int) -> dict[str, int]:
    """Hours from the hour `begin` until each of what is told from then on is first told."""
    told: dict[str, int] = {}
    for verdict, size in ((found.windows, 1), (found.days, DAY)):
        columns = dict(zip(verdict.name.tolist(), verdict.alarm.T, strict=True))
        columns |= {"vectors": verdict.displaced, "calibration": verdict.miscalibrated}
        ends = verdict.hour // size * size + size
        for name, column in columns.items():
            at = ends[column & (ends > begin)]
            if len(at):
                told[name] = min(told.get(name, 1 << 30), int(at[0]) - begin)
    return told


def delay(
    scene: Scene, kind: ShiftKind, first: int, settings: DriftSettings, days: int = 5
) -> dict[str, Any]:
    """Hours from a shift on the day after the reference until it is told, and by what."""
    size, of = SHIFTS[kind]
    shift = Shift(first + 1, SHIFT_HOUR, kind, size, of)
    shifted = Market(replace(scene.market.settings, shifts=(shift,)))
    visits = scene.market.settings.visits_per_day
    found = scene.judge(scene.observe(shifted, range(first, first + days)), settings)
    begin = int(shifted.midnight_s(first + 1) * 1000) // HOUR_MS + SHIFT_HOUR
    told = alarms(found, begin)
    hours = min(told.values(), default=None)
    return {
        "shift": f"{kind} {size:g} {of}".strip(),
        "value": hours,
        "unit": "hours",
        "stated": dict(zip(SIZES, STATED_H[kind], strict=True)).get(visits),
        "told_by": {name: at for name, at in told.items() if at == hours},
    }


def figures(
    visits: int, seeds: Sequence[int], reference_days: int, days: int, ads: int
) -> Iterator[dict[str, Any]]:
    settings = DriftSettings()
    for seed in seeds:
        begin = time.perf_counter()
        market = MarketSettings(seed=seed, ads=ads, visits_per_day=visits, days=reference_days + 11)
        scene = Scene.of(market, reference_days)
        about = {"visits_per_day": visits, "seed": seed}
        found = quiet(scene, reference_days, days, settings)
        seconds = round(time.perf_counter() - begin, 1)
        yield {"figure": "quiet days", **found, **about, "days": days, "seconds": seconds}
        for kind in ShiftKind if seed == seeds[0] else ():
            found = delay(scene, kind, reference_days, settings, 7 if visits <= SIZES[0] else 5)
            yield {"figure": "delay", **found, **about}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, nargs="+", default=list(SIZES))
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--ads", type=int, default=1_000)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--reference-days", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="one small market")
    flags = parser.parse_args()
    if flags.quick:
        flags.visits, flags.seeds, flags.days, flags.reference_days = [10_000], [1], 3, 3
    for visits in flags.visits:
        seeds = flags.seeds if visits < SIZES[-1] else flags.seeds[:1]
        for line in figures(visits, seeds, flags.reference_days, flags.days, flags.ads):
            sys.stdout.buffer.write(orjson.dumps({"bench": "drift", **line}) + b"\n")
            sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
