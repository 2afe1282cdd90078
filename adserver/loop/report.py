"""What a run of the loop came to, day by day: values, for JSON and for the page."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import orjson
from numpy.typing import NDArray

from adserver.driving.counting import Predicted
from adserver.driving.tally import Sums, Tally, total
from adserver.loop.journal import Journal
from adserver.loop.settings import LoopSettings
from adserver.loop.world import world
from ranking.intervals import TAIL
from ranking.metrics import auc, ece_by_chance, measure

RESAMPLES = 1_000
CURVE = 10
"""Bins of equal mass in the curve of calibration."""
Figures = dict[str, Any]


def report(folder: Path, settings: LoopSettings, journal: Journal) -> Figures:
    """The same run gives the same figures."""
    played = tally(folder, "tally-*.json")
    days = sorted({entry.day for entry in journal.entries if entry.step.startswith("simulate")})
    each = [_day(folder, played, day) for day in days]
    control = _control(folder, settings)
    return {
        "settings": asdict(settings),
        "summary": _summary(each, control),
        "days": each,
        "control": control,
        "hours": _hours(played, days),
        "curve": _curve(predicted(folder, days[-1])),
        "releases": _releases(folder, journal, settings),
        "steps": [
            {"day": entry.day, "step": entry.step, "facts": entry.facts}
            for entry in journal.entries
        ],
    }


def tally(folder: Path, names: str) -> Tally:
    """Of all days, whenever what was sold on one of them was clicked."""
    found = Tally()
    for path in sorted(folder.glob(f"days/*/{names}")):
        found.add(Tally.of_rows(orjson.loads(path.read_bytes())))
    return found


def predicted(folder: Path, day: int) -> Predicted:
    paths = sorted((folder / "days" / str(day)).glob("predicted-*.npz"))
    return Predicted.joined([Predicted.load(path) for path in paths])


def by_hour(played: Tally, day: int) -> list[Sums]:
    """All models' sums of each hour that was played."""
    hours = sorted({hour for one, hour, _ in played.of if one == day})
    return [
        total(sums for (d, h, _), sums in played.of.items() if (d, h) == (day, hour))
        for hour in hours
    ]


def regret_interval(hours: Iterable[Sums]) -> tuple[float, float]:
    """95 % of resampled hours have the day's regret between these."""
    best, achieved = np.array([[one.best_micros, one.achieved_micros] for one in hours]).T
    chance = resampled(len(best))
    shares = 1.0 - (chance @ achieved) / np.maximum(chance @ best, 1e-9)
    low, high = np.quantile(shares, [TAIL, 1 - TAIL]).tolist()
    return low, high


def resampled(count: int) -> NDArray[np.float64]:
    """[RESAMPLES, count] how often each of so many parts is drawn."""
    drawn = np.random.default_rng(7).multinomial(count, np.full(count, 1 / count), RESAMPLES)
    return drawn.astype(np.float64)


def _day(folder: Path, played: Tally, day: int) -> Figures:
    sums, seen = played.day(day), predicted(folder, day)
    quality = measure(seen.click, seen.pctr)
    low, high = regret_interval(by_hour(played, day))
    return {
        "day": day,
        **sums.figures(),
        "regret_low": low,
        "regret_high": high,
        "compared_with_oracle": sums.asked_oracle,
        "calibration_error": (sums.squared**0.5 / sums.expected) if sums.expected else 0.0,
        "predicted_ctr": sums.expected / max(1, sums.shown),
        "auc": quality.auc,
        "auc_of_truth": auc(seen.click, seen.truth),
        "ece": quality.ece,
        "ece_by_chance": ece_by_chance(seen.pctr),
        "logloss": quality.logloss,
    }


def _control(folder: Path, settings: LoopSettings) -> Figures | None:
    """The last day as the untrained start would have served it; None where that was not played."""
    played = tally(folder, "control-*.json")
    if not played.of:
        return None
    low, high = regret_interval(by_hour(played, settings.days))
    figures = played.day(settings.days).figures()
    return {"day": settings.days, **figures, "regret_low": low, "regret_high": high}


def _summary(days: list[Figures], control: Figures | None) -> Figures:
    first, last = days[0], days[-1]
    start = control or first
    return {
        "regret_at_the_start": first["regret"],
        "regret_at_the_end": last["regret"],
        "regret_of_the_untrained_on_the_last_day": control and control["regret"],
        "regret_cut": 1.0 - last["regret"] / max(start["regret"], 1e-12),
        "revenue_times": last["revenue_usd"] / max(start["revenue_usd"], 1e-12),
        "auc_of_truths": last["auc"] / last["auc_of_truth"],
        "revenue_usd": sum(day["revenue_usd"] for day in days),
    }


def _hours(played: Tally, days: Iterable[int]) -> list[Figures]:
    wanted = set(days)
    return [row for row in played.rows() if row["day"] in wanted]


def _curve(seen: Predicted) -> list[tuple[float, float, int, int]]:
    """Of bins by predicted rate: predicted, seen, impressions, clicks."""
    order = np.argsort(seen.pctr, kind="stable")
    parts = [part for part in np.array_split(order, CURVE) if len(part)]
    return [
        (
            float(seen.pctr[part].mean()),
            float(seen.click[part].mean()),
            len(part),
            int(seen.click[part].sum()),
        )
        for part in parts
    ]


def _releases(folder: Path, journal: Journal, settings: LoopSettings) -> list[Figures]:
    """Every move of every version, with the simulated day and hour."""
    start_ms = settings.market.start_s * 1000
    moves = world(folder, journal.state.data).registry.read().moves
    return [_move(msgspec.to_builtins(move), start_ms) for move in moves]


def _move(move: Mapping[str, Any], start_ms: float) -> Figures:
    hours = (move["at_ms"] - start_ms) / 3_600_000
    return {**move, "day": int(hours // 24), "hour": round(hours % 24, 2)}
