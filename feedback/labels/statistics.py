"""What the labels were made of: every row that came in is kept or excluded for one reason."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from feedback.labels.outcomes import NEVER, Excluded, Outcomes

DELAYS_S = (1, 3, 10, 30, 60, 120, 300, 600, 1800, 3600, 21_600, 86_400)
"""Delays for which the share of later clicks is given."""


@dataclass(slots=True)
class Statistics:
    rows: int = 0
    """Logged rows of the window."""
    kept: int = 0
    excluded: Counter[str] = field(default_factory=Counter)
    """Reason -> rows. `rows` is `kept` and all of these."""
    positives: int = 0
    """Of the kept, clicked in time."""
    late: int = 0
    """Of the kept, clicked after the click window: counted here, used nowhere."""
    conversions: int = 0
    events: Counter[str] = field(default_factory=Counter)
    """Kind and code -> events of the window's decisions."""
    later: NDArray[np.int64] = field(default_factory=lambda: np.zeros(len(DELAYS_S), np.int64))
    """Of the clicks of kept rows, how many came later than each of DELAYS_S."""

    @property
    def late_share(self) -> NDArray[np.float64]:
        """[DELAYS_S] share of the clicks of kept rows that came later."""
        return self.later / max(1, self.positives + self.late)

    def add(self, found: Outcomes, positive: NDArray[np.bool_], conversions: int) -> None:
        """Take in the rows of one day. `positive` is true for kept rows only."""
        kept = found.excluded == Excluded.NOT
        clicked = kept & (found.clicked < NEVER)
        delay_ms = (found.clicked - found.shown)[clicked]
        self.rows += len(kept)
        self.kept += int(kept.sum())
        self.positives += int(positive.sum())
        self.late += int((clicked & ~positive).sum())
        self.conversions += conversions
        codes, counts = np.unique(found.excluded[~kept], return_counts=True)
        for code, count in zip(codes.tolist(), counts.tolist(), strict=True):
            self.excluded[Excluded(code).name] += count
        self.later += (delay_ms[:, None] > 1000 * np.array(DELAYS_S)).sum(axis=0)
