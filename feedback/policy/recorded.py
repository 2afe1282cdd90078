"""Recorded pages on which policies are tried: held again, and joined with what came of them.

Kept are one page in so many, and all of which a slot was to go by lot: together a log with far more
exploration than the server has, whose probabilities are known (`adserver.exploring.chances_of`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.auctions.again import again, money_of
from adserver.auctions.record import AuctionRecord
from adserver.auctions.recorder import EXPLORED
from adserver.auctions.sample import Damage, read_sample
from adserver.exploring import chances_of
from auction.columns import Slate
from auction.mechanism import run_auction
from auction.settings import AuctionSettings
from feedback.labels.assembly import Labels
from feedback.policy.choices import Value, seen_by
from feedback.policy.estimate import Slots as Seen
from feedback.policy.policies import Policy

Clicked = Mapping[tuple[int, int], bool]
"""By decision number and slot: whether a shown ad was clicked; what has no label is not there."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A span of what a server has kept of its auctions."""

    folder: Path
    since_ms: int = 0
    until_ms: int = 1 << 62
    one_in: int = 100
    """The sample's."""

    def pages(self, damage: Damage | None = None) -> Iterator[AuctionRecord]:
        """Each page once, as a batch of its own. Begins where both folders do: of an earlier
        time the explored pages would be missing."""
        begin = self._begin()
        for record in read_sample(self.folder, begin, self.until_ms, damage):
            for page in record.pages():
                if page.slots.explore is None or not page.slots.explore[0]:
                    yield page
        for record in read_sample(self.folder / EXPLORED, begin, self.until_ms, damage):
            yield from record.pages()

    def _begin(self) -> int:
        starts = [
            next(read_sample(folder, self.since_ms, self.until_ms), None)
            for folder in (self.folder, self.folder / EXPLORED)
        ]
        return max([self.since_ms, *(int(one.notes.at_ms[0]) for one in starts if one)])


@dataclass(slots=True)
class Repeated:
    """How many pages sold again as they were sold."""

    pages: int = 0
    slots: int = 0
    alike: int = 0
    """Slots with the same winner at the same price."""

    def see(self, page: AuctionRecord, rules: AuctionSettings) -> None:
        slate, was = again(page, rules), page.slate
        same = (slate.winner == was.winner) & (slate.charge_micros == was.charge_micros)
        self.pages += 1
        self.slots += len(same)
        self.alike += int(np.count_nonzero(same & (slate.clear_micros == was.clear_micros)))

    @property
    def exact(self) -> bool:
        return self.alike == self.slots


def clicked_of(labels: Labels) -> Clicked:
    keys = zip(labels.decision.tolist(), labels.number.tolist(), strict=True)
    return dict(zip(keys, (labels.impressions.click > 0).tolist(), strict=True))


class Trial:
    """Policies tried on the same pages: give them with `see`, then ask for `seen`."""

    def __init__(
        self, policies: Sequence[Policy], rules: AuctionSettings, clicked: Clicked, one_in: int
    ) -> None:
        self.policies, self.rules, self.clicked, self.one_in = policies, rules, clicked, one_in
        self.pages = self.unlabelled = self.unjudged = 0
        self._seen: dict[tuple[str, Value], list[Seen]] = {
            (policy.name, value): [] for policy in policies for value in Value
        }

    def see(self, page: AuctionRecord) -> None:
        """Left out unless the outcome of all that was sold on it is known, and what each policy
        would do."""
        click = self._clicks(page)
        if click is None:
            self.unlabelled += 1
            return
        chosen = [self._choose(policy, page) for policy in self.policies]
        slates = [slate for slate in chosen if slate is not None]
        if len(slates) < len(chosen):
            self.unjudged += 1
            return
        chances = chances_of(page.slots, page.slate, self.one_in)
        for policy, slate in zip(self.policies, slates, strict=True):
            for value in Value:
                seen = seen_by(page.bids, page.slots, page.slate, slate, chances, click, value)
                self._seen[policy.name, value].append(seen)
        self.pages += 1

    def _choose(self, policy: Policy, page: AuctionRecord) -> Slate | None:
        bids, slots = policy.bids_on(page), policy.slots(page.slots)
        if bids is None:
            return None
        return run_auction(bids, slots, page.slate, money_of(page), self.rules)

    def _clicks(self, page: AuctionRecord) -> NDArray[np.bool_] | None:
        number, found = int(page.notes.number[0]), []
        for slot, winner in enumerate(page.slate.winner.tolist()):
            click = self.clicked.get((number, slot)) if winner >= 0 else False
            if click is None:
                return None
            found.append(click)
        return np.array(found, np.bool_)

    def seen(self, name: str, value: Value) -> Seen:
        """All pages as one log."""
        parts = self._seen[name, value]
        page = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
        columns = {
            one.name: np.concatenate([getattr(part, one.name) for part in parts])
            for one in fields(Seen)
            if one.name != "page"
        }
        return Seen(page=page, **columns)
