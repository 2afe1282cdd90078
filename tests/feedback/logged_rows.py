"""A made-up feature log and the events of what it sold: small, seeded, with known delays."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import ipc
from synthetic import MIDNIGHT_MS, write

from adserver.features.rows import SCHEMA
from adserver.records import ClickRecord, ConversionRecord, EventRecord, Filter, ImpressionRecord
from feedback.compaction import compact
from feedback.labels.assembly import Labels
from feedback.labels.build import labels
from feedback.labels.settings import LabelSettings, Window
from feedback.labels.statistics import Statistics
from ranking.counts import COUNTS
from ranking.features import AD_FIELDS, REQUEST_FIELDS, width


@dataclass
class Site:
    """What a server would have written; each decision sells the slots it is asked for."""

    folder: Path
    rows: list[dict[str, object]] = field(default_factory=list)
    events: list[EventRecord] = field(default_factory=list)
    written: int = 0

    def decide(self, decision: int, t: int, slots: int = 1, person: int = 0, **other) -> None:
        request = [0] * (width(REQUEST_FIELDS) - 1) + [person]
        for slot in range(slots):
            row = {
                "decision": decision,
                "slot": slot,
                "t": t,
                "ad": slot,
                "request": request,
                "ads": [slot + 1] * width(AD_FIELDS),
                "slot_ids": [1, 2, 3],
                "counts": [float(slot)] * COUNTS,
                "logit": -4.0,
                "pctr": 0.02,
                "model": 1,
                "arm": "",
                "quality": 0,
                "snapshot": 1,
                "propensity": 1.0,
                "explored": False,
            }
            self.rows.append(row | other)

    def show(self, decision: int, t: int, slot: int = 0, code: Filter = Filter.OK, **more) -> None:
        self._event(ImpressionRecord, decision, t, slot, code, more)

    def click(self, decision: int, t: int, slot: int = 0, code: Filter = Filter.OK, **more) -> None:
        self._event(ClickRecord, decision, t, slot, code, more)

    def convert(self, decision: int, t: int, slot: int = 0) -> None:
        self._event(ConversionRecord, decision, t, slot, Filter.OK, {})

    def _event(self, kind, decision, t, slot, code, more) -> None:
        decided = next((row["t"] for row in self.rows if row["decision"] == decision), t)
        one = {"t": t, "code": code, "decision": f"{decision:016x}", "slot": slot}
        self.events.append(kind(**(one | {"decided": decided} | more)))

    def save(self) -> None:
        (self.folder / "features").mkdir(parents=True, exist_ok=True)
        path = self.folder / "features" / "w0-1.arrows"
        with ipc.new_stream(path, SCHEMA) as stream:
            stream.write_table(pa.Table.from_pylist(self.rows, SCHEMA))
        write(list(self.events), self.folder / "events" / "w0-1.log")
        compact(self.folder / "events", self.folder / "warehouse")

    def labels(self, window: Window, settings: LabelSettings) -> tuple[Labels, Statistics]:
        self.save()
        return labels(self.folder / "warehouse", self.folder / "features", window, settings)


def delayed_site(folder: Path, rng: np.random.Generator, rate: float, delay_s: float) -> Site:
    """Two hours of 6,000 impressions of one click rate, shown at once, with exponential delays."""
    site = Site(folder)
    at = np.sort(rng.integers(0, 7_200_000, 6_000)) + MIDNIGHT_MS
    clicks = rng.random(len(at)) < rate
    delay_ms = np.rint(rng.exponential(delay_s * 1000, len(at))).astype(int) + 300
    for number, (t, click, delay) in enumerate(zip(at.tolist(), clicks, delay_ms, strict=True)):
        site.decide(number + 1, t)
        site.show(number + 1, t)
        if click:
            site.click(number + 1, t + int(delay))
    return site
