"""What an operator may choose about retrieval."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from retrieval.query import MAX_SLOTS


@dataclass(frozen=True, slots=True)
class RetrievalSettings:
    candidates: int = 200
    """Ads passed on to ranking. More finds better ads until the model's batch no longer fits its
    budget."""

    def problems(self) -> Iterator[str]:
        if self.candidates < MAX_SLOTS:
            yield f"retrieval.candidates ({self.candidates}) must be at least {MAX_SLOTS}"
