"""Shares of the last sales, as the cap counts them, moment by moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
from numpy.typing import NDArray

from feedback.reports import Span

POINTS = 240
"""A plot is not wider."""


@dataclass(frozen=True, slots=True)
class WindowShares:
    """Of the advertisers whose share was ever largest."""

    window: int
    moment_ms: NDArray[np.int64]
    """[points]"""
    names: tuple[str, ...]
    share: NDArray[np.float64]
    """[advertisers, points] of the last `window` sales, or of all while there are fewer."""


def window_shares(
    connection: duckdb.DuckDBPyConnection,
    window: int,
    span: Span | None = None,
    names: Mapping[int, str] | None = None,
    most: int = 6,
) -> WindowShares:
    """All workers' sales in the order of their decisions; `most` advertisers."""
    span, names = span or Span(), names or {}
    sales = connection.execute(
        """
        SELECT t, advertiser FROM decisions
        WHERE NOT test AND reason = 0 AND t >= $1 AND t < $2 ORDER BY t, number
        """,
        [span.since_ms, span.until_ms],
    ).fetchnumpy()
    moment, advertiser = sales["t"].astype(np.int64), sales["advertiser"].astype(np.int64)
    first = max(1, min(window, len(moment)) // 10)  # of the first few anybody has a large share
    ends = np.unique(np.linspace(first, len(moment), POINTS).astype(np.int64))[: len(moment)]
    begins = np.maximum(ends - window, 0)
    greatest = []
    for one in np.unique(advertiser):
        total = np.concatenate(([0], np.cumsum(advertiser == one)))
        share = (total[ends] - total[begins]) / np.maximum(ends - begins, 1)
        greatest.append((float(share[len(share) // 20 :].max(initial=0)), int(one), share))
    chosen = sorted(greatest, key=lambda item: (-item[0], item[1]))[:most]
    shares = np.array([share for _, _, share in chosen]).reshape(len(chosen), len(ends))
    labels = tuple(names.get(one, str(one)) for _, one, _ in chosen)
    return WindowShares(window, moment[ends - 1], labels, shares)
