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
    graph_from: int = 2_000_000
    """Ads from which a snapshot is built with a graph. It costs 400 bytes an ad in each worker and
    minutes to build; lower it where `python -m bench.retrieval` shows that it beats the scan."""
    graph_links: int = 16
    """Neighbours of each ad in the graph; more find more at the cost of memory and time."""
    graph_effort: int = 100
    """Candidates weighed for each link while building; raise it if recall stays low at high ef."""
    ef: int = 400
    """Least width of a search in the graph; raise it until recall in `python -m bench.retrieval`
    stops improving."""
    over_fetch: float = 1.5
    """Ads fetched from the graph per ad wanted, over what the eligible share calls for. Raise it
    when live bids stray far from those of the last build."""
    build_threads: int = 0
    """Threads that build the graph; 0 takes one per core. More than one build a different graph
    each time."""

    def problems(self) -> Iterator[str]:
        if self.candidates < MAX_SLOTS:
            yield f"retrieval.candidates ({self.candidates}) must be at least {MAX_SLOTS}"
        if self.ef < self.candidates:
            yield f"retrieval.ef ({self.ef}) must be at least candidates ({self.candidates})"
        if self.over_fetch < 1:
            yield f"retrieval.over_fetch ({self.over_fetch}) must be at least 1"
        for name in ("graph_from", "graph_links", "graph_effort"):
            if getattr(self, name) < 1:
                yield f"retrieval.{name} ({getattr(self, name)}) must be at least 1"
        if self.build_threads < 0:
            yield f"retrieval.build_threads ({self.build_threads}) must not be negative"
