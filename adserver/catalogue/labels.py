"""Labels of competitive exclusion as bits: two ads that share one do not stand on one page.

A line item names its labels; the label `category` stands for the top-level IAB category of each of
its ads, so that all who carry it keep competitors of their own category away.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from adserver.errors import ConfigError

MOST = 64
CATEGORY = "category"


class Labels:
    """Numbers labels as they come, after those that are known; the builder has one."""

    def __init__(self, known: Iterable[str] = ()) -> None:
        self._bit = {label: bit for bit, label in enumerate(known)}

    @property
    def names(self) -> tuple[str, ...]:
        """In the order of their bits."""
        return tuple(self._bit)

    def bits(
        self, labels: Iterable[Sequence[str]], categories: Iterable[str]
    ) -> NDArray[np.uint64]:
        """Of ads, by the labels of their line items and their own categories."""
        return np.array(
            [
                self._of(names, category) if names else 0
                for names, category in zip(labels, categories, strict=True)
            ],
            np.uint64,
        )

    def check(self) -> None:
        """ConfigError for more labels than there are bits."""
        if len(self._bit) > MOST:
            raise ConfigError(
                [f"labels: {len(self._bit)} different ones, at most {MOST} can be told apart"]
            )

    def _of(self, names: Sequence[str], category: str) -> int:
        bits = 0
        for name in names:
            known = category.partition("-")[0] if name == CATEGORY else name
            bits |= 1 << self._bit.setdefault(known, len(self._bit)) % MOST
        return bits
