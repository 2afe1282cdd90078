"""Sends what it is given and writes down what came of it; loops decide what is sent when."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

from loadtest import answers
from loadtest.answers import Ad
from loadtest.client import Client
from loadtest.tally import Tally
from loadtest.target import Target
from loadtest.traffic import CLICK, IMPRESSION, Shot, get


class Sent(NamedTuple):
    """A request under way."""

    shot: Shot
    due: float
    """When it should have been written, on the monotonic clock: its latency counts from here."""


class Recorder:
    """A client whose answers end in a tally.

    Requests due before `measured_from` (the warm-up) are sent and forgotten.
    """

    def __init__(self, target: Target, connections: int, timeout_s: float) -> None:
        self.tally = Tally()
        self.measured_from = 0.0
        self.client: Client[Sent] = Client(
            target, connections, timeout_s, self._answered, self._failed
        )
        self.viewer: Viewer | None = None
        self.after: Callable[[], None] = _nothing
        """Called when a request has ended, however it ended."""

    def send(self, shot: Shot, due: float) -> None:
        self.client.send(Sent(shot, due), shot.raw)

    def _answered(self, sent: Sent, status: int, answer: bytes, body: int) -> None:
        now = monotonic()
        shot, due = sent
        if due >= self.measured_from:
            tally = self.tally
            tally.route.append(shot.route)
            tally.due_s.append(due)
            tally.latency_s.append(now - due)
            tally.status.append(status)
            tally.quality.append(answers.quality_of(answer, body))
            tally.slots.append(shot.slots)
            tally.sold.append(answers.sold_in(answer, body, shot.route) if shot.slots else 0)
            tally.server_ms.append(answers.server_ms_of(answer, body))
        if self.viewer and shot.slots and status == 200:
            for seen in self.viewer.look_at(answers.ads_in(answer, body, shot.route)):
                self.send(seen, monotonic())
        self.after()

    def _failed(self, sent: Sent, why: str) -> None:
        if sent.due >= self.measured_from:
            self.tally.failures[why] += 1
        self.after()


class Viewer:
    """Sees every ad and clicks as often as the model expects, so that reports have rows."""

    def __init__(self, host: str, chance: Callable[[], float]) -> None:
        """`chance` gives numbers in [0, 1)."""
        self.host, self.chance = host, chance
        self._usual = 0.01

    def look_at(self, ads: list[Ad]) -> list[Shot]:
        """The events of these ads; one whose dialect hides its pCTR is clicked like the last."""
        shots: list[Shot] = []
        for ad in ads:
            self._usual = ad.pctr or self._usual
            shots.append(get(IMPRESSION, ad.impression, self.host))
            if ad.click and self.chance() < self._usual:
                shots.append(get(CLICK, ad.click, self.host))
        return shots


def _nothing() -> None:
    """Nobody waits for the end of a request."""
