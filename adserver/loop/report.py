"""What a run of the loop came to, day by day."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from adserver.driving.counting import Predicted
from adserver.driving.tally import Tally
from adserver.loop.journal import Journal
from adserver.loop.settings import LoopSettings
from adserver.releases.layout import replace_durably
from ranking.metrics import auc, measure

REPORT = "report.json"


def write(folder: Path, settings: LoopSettings, journal: Journal) -> dict[str, Any]:
    """The report as JSON; the same run gives the same bytes."""
    found = report(folder, settings, journal)
    content = orjson.dumps(found, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS)
    replace_durably(folder / REPORT, content + b"\n")
    return found


def report(folder: Path, settings: LoopSettings, journal: Journal) -> dict[str, Any]:
    played = tally(folder)
    days = sorted({day for day, _, _ in played.of if (folder / "days" / str(day)).exists()})
    return {
        "settings": asdict(settings),
        "days": [_day(folder, played, day) for day in days],
        "steps": [
            {"day": entry.day, "step": entry.step, "facts": entry.facts}
            for entry in journal.entries
        ],
    }


def tally(folder: Path) -> Tally:
    """Of all days, whenever what was sold on one of them was clicked."""
    total = Tally()
    for path in sorted(folder.glob("days/*/tally-*.json")):
        total.add(Tally.of_rows(orjson.loads(path.read_bytes())))
    return total


def predicted(folder: Path, day: int) -> Predicted:
    paths = sorted((folder / "days" / str(day)).glob("predicted-*.npz"))
    return Predicted.joined([Predicted.load(path) for path in paths])


def _day(folder: Path, played: Tally, day: int) -> dict[str, Any]:
    sums, seen = played.day(day), predicted(folder, day)
    quality = measure(seen.click, seen.pctr)
    return {
        "day": day,
        **sums.figures(),
        "asked_oracle": sums.asked_oracle,
        "auc": quality.auc,
        "auc_of_truth": auc(seen.click, seen.truth),
        "ece": quality.ece,
        "logloss": quality.logloss,
    }
