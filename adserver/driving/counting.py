"""What a batch of decisions adds to the sums of its hour."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from adserver.decision import Decision
from adserver.driving.regret import Worth
from adserver.driving.tally import Sums, Tally
from simulator.market.market import Shown
from simulator.market.responses import Responses
from simulator.market.traffic import Traffic

I32 = NDArray[np.int32]
Hour = tuple[int, int]
"""Day and hour of it."""


@dataclass(frozen=True, slots=True)
class Sold:
    """A batch's sales as columns, P of them; `token` signs their events."""

    visit: I32
    ad: I32
    """Rows of the market's catalogue."""
    placement: I32
    pctr: NDArray[np.float64]
    token: Sequence[str]
    arm: Sequence[str]

    def shown(self) -> Shown:
        return Shown(self.visit, self.ad, self.placement)


@dataclass(frozen=True, slots=True)
class Played:
    """A batch: who asked, what they were answered, and what will come of it."""

    batch: Traffic
    decisions: Sequence[Decision]
    sold: Sold
    responses: Responses


@dataclass(frozen=True, slots=True)
class Predicted:
    """Impressions of people, I of them: what was said of each, the truth, and what came of it."""

    hour: I32
    arm: NDArray[np.str_]
    pctr: NDArray[np.float32]
    truth: NDArray[np.float32]
    click: NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.click)

    @classmethod
    def of(cls, hour: int, played: Played) -> Predicted:
        sold, responses = played.sold, played.responses
        seen = ~played.batch.bot[sold.visit]
        return cls(
            np.full(int(seen.sum()), hour, np.int32),
            np.array(sold.arm, np.str_)[seen],
            sold.pctr[seen].astype(np.float32),
            responses.truth[seen].astype(np.float32),
            responses.click[seen].astype(np.uint8),
        )

    @classmethod
    def joined(cls, parts: Sequence[Predicted]) -> Predicted:
        """End to end; at least one."""
        return cls(
            *(np.concatenate([getattr(part, one.name) for part in parts]) for one in fields(cls))
        )

    def save(self, path: Path) -> None:
        np.savez_compressed(path, **{one.name: getattr(self, one.name) for one in fields(self)})

    @classmethod
    def load(cls, path: Path) -> Predicted:
        stored = np.load(path)
        return cls(*(stored[one.name] for one in fields(cls)))


def sales(decisions: Sequence[Decision], zone: Mapping[str, int]) -> Sold:
    """Of decisions on consecutive visits; `zone` numbers the market's placements by key."""
    found = [
        (row, one.sold.creative.ad_id - 1, zone[one.slot.placement], one.sold, decision.model)
        for row, decision in enumerate(decisions)
        for one in decision.outcomes
        if one.sold is not None
    ]
    visit, ad, placement = (
        np.array([row[column] for row in found], np.int32) for column in range(3)
    )
    return Sold(
        visit,
        ad,
        placement,
        np.array([sold.pctr for *_, sold, _ in found], np.float64),
        [sold.token for *_, sold, _ in found],
        [model for *_, model in found],
    )


def count(tally: Tally, when: Hour, played: Played) -> None:
    """Everything that is known when the decisions are."""
    sold, responses = played.sold, played.responses
    for decision in played.decisions:
        sums = tally.at(*when, decision.model)
        sums.requests += 1
        sums.slots += len(decision.outcomes)
    person = ~played.batch.bot[sold.visit]
    for arm in sorted(set(sold.arm)):
        mine = np.array([one == arm for one in sold.arm])
        seen = mine & person
        pctr = sold.pctr[seen]
        counted = Sums(
            sold=int(mine.sum()),
            shown=int(seen.sum()),
            clicks=int(responses.click[seen].sum()),
            expected=float(pctr.sum()),
            truth=float(responses.truth[seen].sum()),
            squared=float((pctr * (1 - pctr)).sum()),
        )
        tally.at(*when, arm).add(counted)


def count_regret(
    tally: Tally,
    when: Hour,
    played: Played,
    best: Mapping[int, float],
    worth: Worth,
) -> None:
    """`best` micros by row of the batch: what the oracle would have made of those visits."""
    sold = played.sold
    value = np.bincount(sold.visit, worth(sold.ad, played.responses.truth), len(played.batch))
    for row, most in best.items():
        sums = tally.at(*when, played.decisions[row].model)
        sums.asked_oracle += 1
        sums.best_micros += most
        sums.achieved_micros += float(value[row])
