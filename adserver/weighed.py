"""A batch whose candidates have been found and scored by one edition, before anything is sold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.arms import Arm
from adserver.batcher import Ask
from adserver.edition import Edition
from adserver.encode import Encoded
from adserver.seen import Seen
from adserver.trace import Trace
from auction.columns import Bids
from ranking.counting.board import Counted
from retrieval.query import Candidates


@dataclass(frozen=True, slots=True)
class Weighed:
    """B requests, R candidates; nothing in it is binding yet."""

    asks: Sequence[Ask]
    edition: Edition
    arm: Arm
    numbers: range
    encoded: Encoded
    candidates: Candidates
    seen: Seen
    counted: Counted
    odds: NDArray[np.float32]
    """[R, S] log-odds before calibration, all that was added included."""
    bids: Bids
    """Whole ones, before anything is held back, discounted or weighted."""
    quality: int
    trace: Trace
    now_ms: int
    """Wall time at which the batch began."""
