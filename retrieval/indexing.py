"""Makes a targeting index, or makes a larger one of it without reading again what is in it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from retrieval.postings import Postings, bitmap, widened, words_for
from retrieval.query import DIMENSIONS
from retrieval.targeting import (
    Named,
    Rows,
    TargetingIndex,
    Term,
    Vocabulary,
    category_and_parent,
    domain_and_parents,
    opened,
)

INCLUDE, EXCLUDE = 0, 1


def build(
    line_items: int,
    targeting: Iterable[Term],
    own_category: Named,
    own_domain: Named,
    placements: Named,
) -> TargetingIndex:
    """Index the targeting of `line_items` line items.

    `placements` lists the line items that are tied to each placement; one that is in none of
    the lists runs anywhere. A line item's own category counts for its parent too, so that
    blocking "IAB25" blocks "IAB25-3".
    """
    everyone = np.arange(line_items, dtype=np.int32)
    return grow(_nobody(), line_items, everyone, targeting, own_category, own_domain, placements)


def grow(
    old: TargetingIndex,
    line_items: int,
    anew: Rows,
    targeting: Iterable[Term],
    own_category: Named,
    own_domain: Named,
    placements: Named,
) -> TargetingIndex:
    """The line items of `old` and any number after them, `line_items` in all.

    Of the rows `anew`, which are all that are new and those of `old` that ask for something else
    now, the other arguments tell everything, as for `build`. Costs what copying the index does.
    """
    draft = _Draft(old, line_items, anew)
    for term in targeting:
        draft.target(term)
    for category, rows in own_category:
        for name in category_and_parent(category):
            draft.add(draft.vocabulary.category, name, rows)
    for domain, rows in own_domain:
        itself, *parents = domain_and_parents(domain)
        draft.add(draft.vocabulary.domain, itself, rows)
        for parent in parents:
            draft.add(draft.vocabulary.under_domain, parent, rows)
    for key, rows in placements:
        draft.tie(key, rows)
    return draft.index()


def _nobody() -> TargetingIndex:
    """The index of no line item."""
    columns = {"include": np.full(1, -1, np.int32), "exclude": np.full(1, -1, np.int32)}
    columns |= {"open": np.zeros((DIMENSIONS, 1), np.uint64)}
    columns |= {"unrestricted": np.zeros(1, np.uint64)}
    vocabulary = Vocabulary(tuple({} for _ in range(DIMENSIONS)), {}, {}, {}, {})
    return opened(0, vocabulary, Postings.none(), columns)


class _Draft:
    """Collects what changes until all targeting has been read."""

    def __init__(self, old: TargetingIndex, line_items: int, anew: Rows) -> None:
        known = old.vocabulary
        self.old, self.line_items, self.anew = old, line_items, anew
        self.vocabulary = Vocabulary(
            tuple(dict(words) for words in known.dimension),
            dict(known.category),
            dict(known.domain),
            dict(known.under_domain),
            dict(known.placement),
        )
        self.terms = known.terms
        self.more: dict[tuple[int, int], list[Rows]] = defaultdict(list)
        """(term, side) -> rows to add."""
        self.lists: set[int] = set()
        """Terms of placements, which are lists however long."""
        self.named: list[list[Rows]] = [[] for _ in range(DIMENSIONS)]
        self.tied: list[Rows] = []

    def target(self, term: Term) -> None:
        known = self.vocabulary.dimension[term.dimension]
        self.add(known, term.value, term.line_item, EXCLUDE if term.exclude else INCLUDE)
        if not term.exclude:
            self.named[term.dimension].append(term.line_item)

    def tie(self, key: str, rows: Rows) -> None:
        self.lists.add(self.add(self.vocabulary.placement, key, rows))
        self.tied.append(rows)

    def add(self, known: dict[str, int], value: str, rows: Rows, side: int = INCLUDE) -> int:
        """More rows for one side of a value's term; gives its number."""
        term = known.setdefault(value, self.terms)
        self.terms += term == self.terms
        self.more[term, side].append(rows)
        return term

    def index(self) -> TargetingIndex:
        sets = np.full((2, max(1, self.terms)), -1, np.int32)
        sets[INCLUDE, : len(self.old.include)] = self.old.include
        sets[EXCLUDE, : len(self.old.exclude)] = self.old.exclude
        postings = self._postings(sets)
        words = words_for(self.line_items)
        left = [self._left(rows) for rows in self.named]
        columns = {
            "include": sets[INCLUDE],
            "exclude": sets[EXCLUDE],
            "open": self._kept(self.old.open, words) | np.stack(left),
            "unrestricted": self._kept(self.old.unrestricted[None], words)[0]
            | self._left(self.tied),
        }
        return opened(self.line_items, self.vocabulary, postings, columns)

    def _postings(self, sets: NDArray[np.int32]) -> Postings:
        """Numbers in `sets` those terms' sets that are new."""
        more: dict[int, Rows] = {}
        fresh: list[Rows] = []
        forced: set[int] = set()
        old = self.old.postings
        for (term, side), parts in self.more.items():
            rows = np.unique(np.concatenate(parts)).astype(np.int32)
            if sets[side, term] >= 0:
                more[int(sets[side, term])] = rows
                continue
            if term in self.lists:
                forced.add(len(fresh))
            sets[side, term] = old.sets + len(fresh)
            fresh.append(rows)
        return old.edited(self.line_items, self.anew, more).with_sets(fresh, forced)

    def _kept(self, bitmaps: NDArray[np.uint64], words: int) -> NDArray[np.uint64]:
        return widened(bitmaps, words) & ~bitmap(self.anew, self.line_items)

    def _left(self, named: list[Rows]) -> NDArray[np.uint64]:
        """Of those read anew, the others."""
        rows = np.concatenate([np.empty(0, np.int32), *named])
        return bitmap(np.setdiff1d(self.anew, rows), self.line_items)
