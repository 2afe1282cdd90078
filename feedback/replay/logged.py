"""Replays of what a server has kept of its own auctions (`adserver.auctions.sample`).

All that is known of a page is what its auction was given. Line items whose bids or floors are
changed are sold again at those; a budget that is named is paced anew from full bids; every other
row bids as it bid then, paced and held back as it was.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np

from adserver.auctions.record import AuctionRecord
from adserver.auctions.sample import Damage, read_sample, segments
from adserver.errors import ConfigError
from auction.columns import LEVELS, Level
from auction.traffic import HOURS, Curve
from feedback.replay.changes import Changes
from feedback.replay.forecast import Forecast, Forecaster, Proposal
from feedback.replay.held import HOUR_S, held_of
from feedback.replay.money import Money
from feedback.replay.run import Outcome, Run, as_recorded

Records = Callable[[], Iterator[AuctionRecord]]
"""Reads the records from the beginning, each time that it is called."""


@dataclass(frozen=True, slots=True)
class Log:
    """A span of a server's sample."""

    folder: Path
    since_ms: int = 0
    until_ms: int = 1 << 62
    one_in: int = 100
    thin: int = 1
    """Only one group of pages in so many is looked at."""
    damage: Damage = field(default_factory=Damage)

    @property
    def share(self) -> float:
        return 1 / (self.one_in * self.thin)

    def records(self) -> Iterator[AuctionRecord]:
        """Pages that came to auction, in about the order of time."""
        kept = read_sample(self.folder, self.since_ms, self.until_ms, self.damage)
        for record in islice(kept, 0, None, self.thin):
            if len(record.bids.ad):
                yield record

    def thinned(self, most_bytes: int) -> Log:
        """So thin that about `most_bytes` of its files are looked at."""
        size = sum(
            one.path.stat().st_size
            for one in segments(self.folder)
            if self.since_ms <= one.start_ms < self.until_ms
        )
        return replace(self, thin=max(1, -(-size // most_bytes)))


def replay(log: Log, changes: Changes) -> tuple[Outcome, Outcome]:
    """As it was, and as it would have been; two passes over the log."""
    before = as_recorded(map(held_of, log.records()), log.share)
    run = Run(changes, money_for(changes, before), log.share)
    for record in log.records():
        run.hold(held_of(record))
    return before, run.outcome()


def money_for(changes: Changes, before: Outcome) -> Money:
    """The budgets that are tried; "times" is of what a line item spent in a day."""
    unknown = [
        f"--budget {Level(account % LEVELS).name.lower()}:{account // LEVELS}=x…: the log knows "
        "what line items spent only; name dollars"
        for account, amount in changes.budget.items()
        if amount.times is not None and account % LEVELS != Level.LINE_ITEM
    ]
    if unknown:
        raise ConfigError(unknown)
    daily = {
        account: int(amount.of(np.array([_daily(before, account)]))[0] * before.share)
        for account, amount in changes.budget.items()
    }
    typical = before.spent_micros / max(1, len(before.sales.cost))
    return Money(daily, typical, curve_of(before), pace=True)


def _daily(before: Outcome, account: int) -> int:
    """What a line item spent in a day, of all traffic."""
    mine = before.sales.line_item == account // LEVELS
    days = max(1.0, len(before.hours) / 24)
    return round(int(before.sales.cost[mine].sum()) / days / before.share)


def curve_of(before: Outcome) -> Curve:
    """The hours of the week as this log has them; hours that it lacks are as usual."""
    hour = (before.sales.at_s // HOUR_S).astype(np.int64) % HOURS
    count = np.bincount(hour, minlength=HOURS).astype(np.float64)
    weeks = np.bincount(before.hours % HOURS, minlength=HOURS)
    usual = max(1.0, count.sum() / max(1, weeks.sum()))
    mean = np.where(weeks > 0, count / np.maximum(1, weeks), usual)
    return Curve(np.maximum(mean / usual, 0.01))


def forecast(log: Log, proposal: Proposal, changes: Changes) -> Forecast:
    """One pass; the traffic of a day is taken to be even until the log has been read."""
    daily = {proposal.account: max(1, round(proposal.daily_budget_micros * log.share))}
    money = Money(daily, proposal.typical_micros, Curve.flat(), pace=True)
    forecaster = Forecaster.of(proposal, changes, money, log.share)
    for record in log.records():
        forecaster.see(record)
    return forecaster.forecast()
