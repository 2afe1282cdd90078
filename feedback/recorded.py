"""The newest recorded auctions, as what reports on fairness need of them."""

from __future__ import annotations

from collections import deque
from pathlib import Path

from adserver.auctions.record import AuctionRecord
from adserver.auctions.sample import read_sample
from feedback.reports import Span

MOST_AUCTIONS = 5_000
"""Enough for shares within a percent, and sold again under six caps in seconds."""
LEAST_AUCTIONS = 200
"""Fewer say nothing about a cap."""
WINDOWS = 5
"""A recorded sample is sold again in windows of at most this part of it."""


def recorded(folder: Path, span: Span | None = None) -> list[AuctionRecord]:
    """Groups of pages, oldest first; the newest `MOST_AUCTIONS`, or a group more."""
    span, kept = span or Span(), deque[AuctionRecord]()
    pages = 0
    for record in read_sample(folder, span.since_ms, span.until_ms):
        kept.append(record)
        pages += len(record)
        while pages - len(kept[0]) >= MOST_AUCTIONS:
            pages -= len(kept.popleft())
    return sorted(kept, key=lambda record: int(record.notes.at_ms[0]))


def window_for(records: list[AuctionRecord], window: int) -> int:
    """The window that a replay of so few can fill several times."""
    sales = sum(int((record.slate.winner >= 0).sum()) for record in records)
    return max(1, min(window, sales // WINDOWS))
