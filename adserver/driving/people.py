"""What people do with the ads they are shown, when its time has come: events of the real server.

Events wait in the order of their moments. What is still to come at the end of a day can be written
down and taken up again. Knows tokens and moments, not why somebody clicks.
"""

from __future__ import annotations

import asyncio
import heapq
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

import msgspec

from adserver.events import Receipt, Turnstile
from adserver.tokens import Kind, Signer, TokenError, event_token


class Coming(NamedTuple):
    """An event that somebody will cause."""

    due_ms: int
    serial: int
    """Breaks ties: a sale's impression was added before its click."""
    kind: Kind
    sold: str
    """The sale's token, as `Signer.sign` gives it."""
    arm: str
    """Of the decision: what its money is counted under."""


class Received(NamedTuple):
    """An event and what became of it."""

    coming: Coming
    receipt: Receipt


@dataclass(slots=True)
class People:
    """The events to come."""

    waiting: list[Coming] = field(default_factory=list)
    serial: int = 0

    def add(self, due_ms: int, kind: Kind, sold: str, arm: str) -> None:
        self.serial += 1
        heapq.heappush(self.waiting, Coming(due_ms, self.serial, kind, sold, arm))

    async def act(self, turnstile: Turnstile, until_ms: int) -> list[Received]:
        """Send what is due by then, each at its own moment; all are on disk when this returns."""
        due = list(self._due(until_ms))
        sent = (
            turnstile.receive(one.kind, token_of(one, turnstile.signer), one.due_ms) for one in due
        )
        receipts = await asyncio.gather(*sent)
        return [Received(*both) for both in zip(due, receipts, strict=True)]

    def _due(self, until_ms: int) -> Iterator[Coming]:
        while self.waiting and self.waiting[0].due_ms <= until_ms:
            yield heapq.heappop(self.waiting)

    def save(self, path: Path) -> None:
        """All at once or not at all."""
        draft = path.with_name(f".{path.name}")
        draft.write_bytes(msgspec.msgpack.encode((self.serial, sorted(self.waiting))))
        os.replace(draft, path)

    @classmethod
    def load(cls, path: Path) -> People:
        """As they were saved; nobody where nothing was."""
        if not path.exists():
            return cls()
        content = msgspec.msgpack.decode(path.read_bytes(), type=tuple[int, list[Coming]])
        return cls(content[1], content[0])

    def counts(self) -> Counter[str]:
        return Counter(one.kind.name for one in self.waiting)


def token_of(coming: Coming, signer: Signer) -> str:
    """What the page, or after a click the advertiser, sends."""
    if coming.kind is not Kind.CONVERSION:
        return event_token(coming.sold, coming.kind)
    clicked = event_token(coming.sold, Kind.CLICK)
    found = signer.verify(clicked, Kind.CLICK, coming.due_ms, 1 << 62)
    assert not isinstance(found, TokenError), "we signed it ourselves"
    return signer.conversion(replace(found, landing=""))
