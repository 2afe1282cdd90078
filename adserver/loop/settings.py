"""What a run of the loop is made of. Fixed when it begins: a run that goes on takes no others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum

from simulator.market.settings import MarketSettings

UNTRAINED = 1
"""Version of the model that a run begins with."""
HOURS = 24
MOST_EXPLORATION = 0.2
TRIAL = json.dumps(
    {
        "shadow_s": 3600,
        "canary1_s": 5400,
        "canary10_s": 7200,
        "requests": 10,
        "clicks": 0.2,
        "correlation": 0.2,
        "ratio": 5,
    }
)


class Ranker(StrEnum):
    """What orders the ads."""

    NETWORK = "network"
    """The click model as `TrainSettings.for_rows` has it: of few impressions a regression with
    learnt priors, of more the network."""
    LOGISTIC = "logistic"
    """A logistic regression instead, trained on what it was itself clicked for: what to compare
    with."""


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """The defaults take some minutes of one core for five days."""

    days: int = 5
    """Days that end in a training; the last one is followed by a day that only shows the result."""
    seed: int = 1
    """Of the market, its people, and the trainings: equal settings give equal reports."""
    ranker: Ranker = Ranker.NETWORK
    ads: int = 1_000
    """In flight at any time, about."""
    visits: int = 20_000
    """A day."""
    click_log_odds: float = 1.4
    """More than in the usual market: four times as many clicks, so that a day of few visits holds
    some two thousand of them, as a day of a small site would."""
    hours: tuple[int, int] = (0, 24)
    """Of each day, the end not included: fewer for a quick look."""
    visits_per_user: float = 12.0
    """A day, on average. More makes what a person did tell more."""
    new_share: float = 0.03
    """Of the ads: begin each midnight, and as many end."""
    candidates: int = 1_000
    """Ads scored per request. A model that knows nothing retrieves nothing useful: as many as fit
    usually, or good ads are never shown, and nothing is learnt of them."""
    exploration: float = 0.02
    """As the server's setting: in this share of the requests a slot goes by lot."""
    first_exploration: float = 0.2
    """The same on the first day, when there is nothing to lose: without it the untrained model
    shows the highest bids alone, and nothing is learnt of other ads."""
    fairness_cap: float = 1.0
    """Largest share of sales of one advertiser; 1 is off. A cap costs value on purpose, and the
    oracle that regret is measured against knows no cap."""
    pacing: str = "asap"
    """As the server's setting. Even pacing holds bids back, which the oracle does not."""
    budget_usd_per_visit: float = 1.0
    """Sum of the daily budgets over the day's visits. Ample: where the money of those who pay most
    is spent by noon, any model sells the same money, and what it knows hardly shows in revenue."""
    history_days: int = 5
    """A training reads this many days back."""
    warm: bool = False
    """Continue the model before with the new day alone. A few days are trained anew in seconds,
    and rows that a model has passed over again and again are learnt by heart."""
    max_age_h: float = 24.0
    """Freshness: a model trained on data that ended longer ago than this is replaced."""
    min_interval_h: float = 4.0
    """Stability: no training sooner after the last, whatever the evidence of drift."""
    trial: bool = True
    """A new model goes through shadow and canaries under the server's guardrails, some hours of
    the next day; else straight into production once the gate let it pass."""
    release_limits: str = TRIAL
    """As the server's setting, for some hundred page views an hour of which 1 % are a handful."""
    part_hours: int = 8
    """A day is played in parts of so many hours: what a kill costs at most."""
    release_gate: str = '{"ece": 0.01, "candidate_auc_drop": 0.02, "candidate_copc": 0.25}'
    """As the server's setting: limits of the gate that differ from the usual ones. Half a percent
    of ECE is a tenth of this market's click rate. The newest slice has some two hundred clicks, as
    many as the calibration map was fitted to: equal models differ by a hundredth of AUC there, and
    one that is right is off by a tenth in clicks; the usual limits refuse every other model."""
    regret_one_in: int = 10
    """Visits compared with the oracle."""

    def problems(self) -> Iterator[str]:
        for name in ("days", "ads", "visits", "candidates", "history_days", "part_hours"):
            if getattr(self, name) < 1:
                yield f"{name} ({getattr(self, name)}) must be at least 1"
        if not 0 <= self.hours[0] < self.hours[1] <= HOURS:
            yield f"hours {self.hours} must rise within 0 ... {HOURS}"
        if not 0 < self.min_interval_h <= self.max_age_h:
            yield f"min_interval_h ({self.min_interval_h}) must be above 0 and at most max_age_h"
        for name in ("exploration", "first_exploration"):
            if not 0 <= getattr(self, name) <= MOST_EXPLORATION:
                yield f"{name} ({getattr(self, name)}) must lie in 0 ... {MOST_EXPLORATION}"
        yield from self.market.problems()

    @property
    def market(self) -> MarketSettings:
        """The market of all days and of the day after the last."""
        return MarketSettings(
            seed=self.seed,
            ads=self.ads,
            visits_per_day=self.visits,
            days=self.days + 1,
            new_share=self.new_share,
            visits_per_user=self.visits_per_user,
            click_log_odds=self.click_log_odds,
            budget_usd_per_visit=self.budget_usd_per_visit,
        )

    @property
    def parts(self) -> list[range]:
        """Hours of a day that are played in one step each."""
        begin, end = self.hours
        starts = range(begin, end, self.part_hours)
        return [range(one, min(one + self.part_hours, end)) for one in starts]

    def as_json(self) -> str:
        return json.dumps(asdict(self), indent=1, sort_keys=True)
