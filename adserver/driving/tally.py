"""What a market day came to, by hour and by model: sums, and the figures they stand for.

Only people count in click rate, calibration and regret; money counts whoever clicked.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from typing import Any


@dataclass(slots=True)
class Sums:
    """Of the decisions of one hour and model."""

    requests: int = 0
    slots: int = 0
    sold: int = 0
    shown: int = 0
    """Sold to people: what the next four are sums over."""
    clicks: int = 0
    expected: float = 0.0
    """Clicks by the model's calibrated rates."""
    truth: float = 0.0
    """Clicks by the true rates."""
    squared: float = 0.0
    """Σ p (1 − p) of the model's rates: the variance of the clicks if they are right."""
    revenue_micros: int = 0
    """Billed."""
    events: int = 0
    refused: int = 0
    """Events that did not count."""
    asked_oracle: int = 0
    """Visits compared with the oracle."""
    best_micros: float = 0.0
    achieved_micros: float = 0.0

    def add(self, other: Sums) -> None:
        for one in fields(Sums):
            setattr(self, one.name, getattr(self, one.name) + getattr(other, one.name))

    @property
    def ctr(self) -> float:
        return self.clicks / max(1, self.shown)

    @property
    def true_ctr(self) -> float:
        return self.truth / max(1, self.shown)

    @property
    def calibration(self) -> float:
        """Clicks over expected clicks; 1 is right."""
        return self.clicks / self.expected if self.expected else 0.0

    @property
    def fill(self) -> float:
        return self.sold / max(1, self.slots)

    @property
    def regret(self) -> float:
        """Share of the oracle's value that was not achieved."""
        return 1.0 - self.achieved_micros / self.best_micros if self.best_micros else 0.0

    def figures(self) -> dict[str, float]:
        """By name, for reports and JSON."""
        return {
            "requests": self.requests,
            "impressions": self.shown,
            "clicks": self.clicks,
            "ctr": self.ctr,
            "true_ctr": self.true_ctr,
            "calibration": self.calibration,
            "fill": self.fill,
            "revenue_usd": self.revenue_micros / 1e6,
            "regret": self.regret,
        }


@dataclass(slots=True)
class Tally:
    """Sums by day, hour and model (`name/version`)."""

    of: dict[tuple[int, int, str], Sums] = field(default_factory=dict)

    def at(self, day: int, hour: int, arm: str) -> Sums:
        return self.of.setdefault((day, hour, arm), Sums())

    def add(self, other: Tally) -> None:
        for key, sums in other.of.items():
            self.at(*key).add(sums)

    def day(self, day: int) -> Sums:
        return total(sums for (one, _, _), sums in self.of.items() if one == day)

    def arms(self) -> dict[str, Sums]:
        names = sorted({arm for _, _, arm in self.of})
        return {
            name: total(sums for (_, _, arm), sums in self.of.items() if arm == name)
            for name in names
        }

    def rows(self) -> list[dict[str, Any]]:
        """As JSON has it; `of_rows` takes it back."""
        return [
            {"day": day, "hour": hour, "arm": arm, **asdict(sums)}
            for (day, hour, arm), sums in sorted(self.of.items())
        ]

    @classmethod
    def of_rows(cls, rows: Iterable[dict[str, Any]]) -> Tally:
        names = {one.name for one in fields(Sums)}
        return cls(
            {
                (row["day"], row["hour"], row["arm"]): Sums(**{n: row[n] for n in names})
                for row in rows
            }
        )


def total(parts: Iterable[Sums]) -> Sums:
    sums = Sums()
    for one in parts:
        sums.add(one)
    return sums
