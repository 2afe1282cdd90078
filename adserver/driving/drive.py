"""Plays hours of a simulated market through one real worker, on simulated time.

The worker's catalogue, snapshot, pipeline, money, pacing, event log and counters are the real ones;
this module only says when: batches of visits, the events that follow them at their own moments,
and what a server does in the background. The same market, state and seed give the same hours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.batcher import Ask
from adserver.deadline import Deadline
from adserver.driving.asking import Asker
from adserver.driving.clock import SimulatedClock
from adserver.driving.counting import Hour, Played, Predicted, Sold, count, count_regret, sales
from adserver.driving.people import People, Received
from adserver.driving.regret import Worth, best_values, running_line_items, sampled
from adserver.driving.tally import Tally
from adserver.records import Filter
from adserver.tokens import Kind
from adserver.worker import Worker
from simulator.market.market import Market
from simulator.market.responses import Responses
from simulator.market.traffic import Traffic

I32 = NDArray[np.int32]
Heard = Callable[[str, float], None]
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class DriveSettings:
    batch: int = 48
    """Visits decided together, at the moment of the last of them."""
    tick_s: float = 50.0
    """What the server does twice a second is done this often. Pacing takes a silence of more than
    a minute for one in which nothing was due; a server that answers a visit a second loses little
    by knowing what happened a minute ago."""
    rendered_s: float = 1.0
    """From decision to impression."""
    regret_one_in: int = 25
    """Visits compared with the oracle; 25 is 4 %."""


class Drive:
    """One worker and the people of one market in front of it."""

    def __init__(
        self,
        market: Market,
        worker: Worker,
        clock: SimulatedClock,
        settings: DriveSettings,
        people: People,
    ) -> None:
        self.market, self.worker, self.clock = market, worker, clock
        self.settings, self.people = settings, people
        self.tally = Tally()
        self.predicted: list[Predicted] = []
        """Of each batch."""
        self._asker, self._worth = Asker(market.world), Worth.of(market.catalogue)
        self._zone = {one.key: row for row, one in enumerate(market.world.placement)}
        self._ticked_s = -np.inf

    async def play(
        self, day: int, hours: Sequence[int], heard: Heard = lambda stage, share: None
    ) -> Tally:
        """Everything that happens in these hours of a day; sums of them are added to `tally`."""
        for done, hour in enumerate(hours):
            traffic = self.market.day(day).hour(hour)
            for batch in self._batches(traffic):
                await self._until(float(batch.at_s[-1]))
                await self._decide((day, hour), batch)
            await self._until(self.market.midnight_s(day) + 3600.0 * (hour + 1))
            heard(f"day {day + 1}", (done + 1) / len(hours))
        return self.tally

    def _batches(self, traffic: Traffic) -> Iterator[Traffic]:
        """As many visits as may be decided together, and no longer ago than a tick."""
        begin = 0
        while begin < len(traffic):
            soon = np.searchsorted(traffic.at_s, traffic.at_s[begin] + self.settings.tick_s)
            end = min(int(soon), begin + self.settings.batch)
            yield traffic.rows(slice(begin, max(end, begin + 1)))
            begin = max(end, begin + 1)

    async def _until(self, moment_s: float) -> None:
        """Let time pass: events come in, and the server looks after itself."""
        while self.clock.now_s < moment_s or self._ticked_s == -np.inf:
            due = max(self._ticked_s, self.clock.now_s) + self.settings.tick_s
            self.clock.advance_to(min(moment_s, due))
            await self._act()
            if self.clock.now_s - self._ticked_s >= self.settings.tick_s:
                self._ticked_s = self.clock.now_s
                for job in self.worker.jobs():
                    await job()

    async def _act(self) -> None:
        for one in await self.people.act(self.worker.turnstile, int(self.clock.now_s * 1000)):
            self._count_event(one)

    def _count_event(self, one: Received) -> None:
        start_ms = int(self.market.midnight_s(0) * 1000)
        day, inside = divmod(one.coming.due_ms - start_ms, DAY_MS)
        sums = self.tally.at(day, inside // 3_600_000, one.coming.arm)
        sums.events += 1
        sums.refused += one.receipt.code is not Filter.OK
        sums.revenue_micros += one.receipt.billed_micros

    async def _decide(self, when: Hour, batch: Traffic) -> None:
        now = self.clock()
        deadline = Deadline(now + 1.0, self.clock)
        asks = [Ask(request, deadline, now) for request in self._asker.requests(batch)]
        decisions = await self.worker.decide_together(asks)
        sold = sales(decisions, self._zone)
        crowd = self.market.crowd(batch)
        responses = self.market.fated(batch, crowd, sold.shown())
        self._expect(sold, responses)
        played = Played(batch, decisions, sold, responses)
        count(self.tally, when, played)
        self.predicted.append(Predicted.of(when[1], played))
        self._compare(when, played)

    def _expect(self, sold: Sold, responses: Responses) -> None:
        """Events of these sales, at their moments from now."""
        rendered_ms = int((self.clock.now_s + self.settings.rendered_s) * 1000)
        for token, arm in zip(sold.token, sold.arm, strict=True):
            self.people.add(rendered_ms, Kind.IMPRESSION, token, arm)
        for row in np.flatnonzero(responses.click).tolist():
            token, arm = sold.token[row], sold.arm[row]
            clicked_ms = rendered_ms + int(responses.click_delay_s[row] * 1000)
            self.people.add(clicked_ms, Kind.CLICK, token, arm)
            if responses.conversion[row]:
                bought_ms = rendered_ms + int(responses.conversion_delay_s[row] * 1000)
                self.people.add(max(bought_ms, clicked_ms + 1), Kind.CONVERSION, token, arm)

    def _compare(self, when: Hour, played: Played) -> None:
        """A sample of visits against the oracle, which may choose what the server could."""
        rows = sampled(played.batch, self.settings.regret_one_in)
        if not len(rows):
            return
        edition = self.worker.pipeline.edition
        running = running_line_items(edition, len(self.market.catalogue.line_items.campaign))
        best = best_values(self.market, self._worth, played.batch.rows(rows), running)
        by_row = dict(zip(rows.tolist(), best.tolist(), strict=True))
        count_regret(self.tally, when, played, by_row, self._worth)
