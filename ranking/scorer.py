"""What a scorer takes and gives, wherever the click model runs.

This module knows neither the model nor the network; it knows that a score can be refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

FULL: Final = 0
"""Decision quality: every candidate was scored by the full model."""
TRUNCATED: Final = 1
"""Decision quality: the full model, but fewer candidates than were found."""
FALLBACK: Final = 2
"""Decision quality: the small model in process, because the full one was late, refused or gone."""


class RankerError(Exception):
    """The click model gave no scores: late, refused, gone or broken. Never a malformed request."""


class Late(RankerError):
    """No scores within the time given."""


class Refused(RankerError):
    """The model answered that it will not score this: it is full, or cannot load the snapshot."""


class Gone(RankerError):
    """Nobody answers at the scorer's address, or the answer was cut off."""


class Broken(RankerError):
    """An answer came and is not one: wrong shape, wrong type, or a failure inside the model."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Requests and the ads to score for each; B requests, R pairs, requests end to end."""

    version: int
    """The snapshot whose ad rows these are."""
    vector: NDArray[np.float32]
    """[B, D] the request tower's output."""
    bias: NDArray[np.float32]
    """[B] the request tower's own log-odds."""
    ad: NDArray[np.int32]
    """[R] ad rows of the snapshot."""
    offset: NDArray[np.int32]
    """[B + 1] where each request's pairs begin; the first is 0, the last is R."""
    model: int = 0
    """The version that is to score them; 0: the only one there is."""


class Scorer(Protocol):
    """Scores pairs in time, or says that it cannot.

    Any failure is a `RankerError`, and comes no later than the time given.
    """

    async def score(self, pairs: Pairs, timeout_s: float) -> NDArray[np.float32]:
        """The log-odds [R] of a click, before the slot's share and before calibration."""
        ...

    async def ready(self) -> bool:
        """Whether a call made now would be answered at full speed."""
        ...

    async def close(self) -> None: ...


class Model(Protocol):
    """Click models as a plain function of pairs, and their loaded tables."""

    def score(self, pairs: Pairs) -> NDArray[np.float32]: ...


@dataclass(frozen=True, slots=True)
class InProcess:
    """The model on the caller's own thread.

    It cannot be late by waiting, only by work, which the batcher bounds by rows; so the time given
    is not looked at. Handing a batch to another thread would cost more than it frees.
    """

    model: Model

    async def score(self, pairs: Pairs, timeout_s: float) -> NDArray[np.float32]:
        return self.model.score(pairs)

    async def ready(self) -> bool:
        return True

    async def close(self) -> None:
        return None
