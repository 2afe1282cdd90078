"""Which impressions become labels, and when."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_POSITIVE = (
    "click_window_s", "conversion_window_s", "decision_clicks", "person_clicks", "suspect_clicks"
)  # fmt: skip


class Form(StrEnum):
    """What is done about clicks that have not come yet."""

    SETTLED = "settled"
    """Only impressions whose click window is over: right labels, as old as the window is long."""
    STREAM = "stream"
    """Every impression at once, as not clicked, and once more, as clicked, when its click comes.
    Train it with the loss of `feedback.labels.delayed`, which undoes the double counting."""
    NAIVE = "naive"
    """Every impression at once, clicked or not so far: biased low, kept to compare with."""


@dataclass(frozen=True, slots=True)
class LabelSettings:
    form: Form = Form.SETTLED
    click_window_s: int = 600
    """A click counts within this of the impression. The statistics say what share comes later."""
    conversion_window_s: int = 7 * 86_400
    """A conversion counts within this of the click."""
    worst_quality: int = 1
    """Decisions more degraded were not made by the model; what they show it did not choose."""
    fastest_click_ms: int = 300
    """Nobody reads and clicks an ad faster."""
    decision_clicks: int = 5
    """In a minute, repeated ones included; a decision with more is a robot's or a broken page's."""
    person_clicks: int = 10
    """The same of one person, over all decisions; all that a robot saw on that day is left out."""

    suspect_clicks: int = 10
    """A person with as many clicks in a day is looked at: more than suspect_rate of its impressions
    clicked makes it a robot."""
    suspect_rate: float = 0.1
    """Far above what any audience clicks. A patient robot shows itself by this only."""

    def problems(self) -> Iterator[str]:
        for name in _POSITIVE:
            if getattr(self, name) < 1:
                yield f"labels.{name} ({getattr(self, name)}) must be at least 1"
        if self.fastest_click_ms < 0:
            yield f"labels.fastest_click_ms ({self.fastest_click_ms}) must not be negative"
        if not 0 < self.suspect_rate <= 1:
            yield f"labels.suspect_rate ({self.suspect_rate}) must be above 0 and at most 1"


@dataclass(frozen=True, slots=True)
class Window:
    """Decisions (of a stream: events) of these wall milliseconds, end not included."""

    since_ms: int
    until_ms: int
    now_ms: int = 1 << 62
    """What came later is not known yet. Equal to `until_ms`, the newest windows are still open."""
