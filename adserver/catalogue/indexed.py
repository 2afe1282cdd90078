"""What the targeting index is told of line items: as `retrieval.indexing` takes it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adserver.catalogue.ads import AdDraft
from adserver.catalogue.columns import Owner
from retrieval.targeting import Term

Rows = NDArray[np.int32]
Named = Iterable[tuple[str, Rows]]


class Told(NamedTuple):
    """In the order of the arguments."""

    targeting: Iterable[Term]
    own_category: Named
    own_domain: Named
    placements: Named

    @classmethod
    def of(cls, ads: AdDraft, owners: Mapping[int, Owner], place: Rows) -> Told:
        """All that the database says of the line items of these ads; `place` [L] is the row that
        each of them has in the index."""
        items = ads.items
        return cls(
            (
                Term(dimension, value, place[rows], exclude)
                for (dimension, value, exclude), rows in items.terms.items()
            ),
            ((category, place[sorted(rows)]) for category, rows in ads.category.items()),
            (
                (owners[advertiser].domain, place[rows])
                for advertiser, rows in _by_value(items.columns.advertiser)
            ),
            ((key, place[rows]) for key, rows in items.placements.items()),
        )


def _by_value(column: Rows) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each value, and the rows that have it."""
    order = np.argsort(column, kind="stable")
    values, start = np.unique(column[order], return_index=True)
    ends = [*start[1:], len(order)][: len(start)]
    for value, first, end in zip(values.tolist(), start, ends, strict=True):
        yield value, order[first:end]
