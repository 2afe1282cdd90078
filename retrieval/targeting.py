"""Which line items may answer a request: exact boolean targeting.

This module knows line items as rows and targeting as sets of them. It knows nothing of ads, of
what a line item is worth, or of where the targeting came from.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.files import mapped
from retrieval.postings import Postings, flags, words_for
from retrieval.query import MAX_SLOTS, Dimension, Query

Rows = NDArray[np.int32]
Named = Iterable[tuple[str, Rows]]


class Term(NamedTuple):
    """Line items that ask for one value of one dimension, or refuse it."""

    dimension: Dimension
    value: str
    line_item: Rows
    exclude: bool


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The row number of every value that some line item names; one numbering for all kinds."""

    dimension: tuple[dict[str, int], ...]
    category: dict[str, int]
    domain: dict[str, int]
    """A domain to the line items whose own domain it is."""
    under_domain: dict[str, int]
    """A domain to the line items whose own domain lies below it."""
    placement: dict[str, int]

    @property
    def terms(self) -> int:
        """How many there are."""
        others = (self.category, self.domain, self.under_domain, self.placement)
        return sum(map(len, (*self.dimension, *others)))


@dataclass(frozen=True, slots=True)
class Match:
    """Line items that may answer one request; scratch of the index, valid until its next match."""

    words: NDArray[np.uint64]
    """[ceil(L / 64)] bit set: the line item may fill at least one slot."""
    line_slots: NDArray[np.uint32]
    """[L] slots (bits) open to a line item that is tied to placements; 0 for all the others."""
    placed: NDArray[np.int32]
    """[MAX_SLOTS] placements that `line_slots` was made for."""


@dataclass(frozen=True, slots=True)
class TargetingIndex:
    """Answers exactly which line items a request may see.

    A line item matches when, in each dimension, it names no value or one of the request's, when
    it refuses none of the request's values and the publisher refuses none of its own, and when
    one of the slots is a placement that it is tied to, or it is tied to none.
    """

    line_items: int
    vocabulary: Vocabulary
    postings: Postings
    include: NDArray[np.int32]
    """[terms] posting of the line items that name the value, -1 when there are none."""
    exclude: NDArray[np.int32]
    """[terms] posting of the line items that refuse the value, -1 when there are none."""
    open: NDArray[np.uint64]
    """[DIMENSIONS, words] line items that name no value of the dimension."""
    unrestricted: NDArray[np.uint64]
    """[words] line items that run in any placement."""
    scratch: Match
    allowed: NDArray[np.uint64]

    def save(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.postings.save(folder)
        for name in ("include", "exclude", "open", "unrestricted"):
            np.save(folder / f"{name}.npy", getattr(self, name))
        words = {name: getattr(self.vocabulary, name) for name in Vocabulary.__slots__}
        text = json.dumps({"line_items": self.line_items, **words}, ensure_ascii=False)
        (folder / "vocabulary.json").write_text(text, encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> TargetingIndex:
        """Map what `save` wrote; the pages are shared with every other process that maps it."""
        words = json.loads((folder / "vocabulary.json").read_text(encoding="utf-8"))
        line_items = words.pop("line_items")
        vocabulary = Vocabulary(**{**words, "dimension": tuple(words["dimension"])})
        columns = {
            name: mapped(folder / f"{name}.npy")
            for name in ("include", "exclude", "open", "unrestricted")
        }
        return opened(line_items, vocabulary, Postings.load(folder), columns)

    def for_another_thread(self) -> TargetingIndex:
        """The same index with scratch of its own."""
        columns = {
            name: getattr(self, name) for name in ("include", "exclude", "open", "unrestricted")
        }
        return opened(self.line_items, self.vocabulary, self.postings, columns)

    def terms(self, dimension: Dimension, values: Iterable[str]) -> list[int]:
        """Terms of the values that some line item names or refuses; the others match nobody."""
        known = self.vocabulary.dimension[dimension]
        return [known[value] for value in values if value in known]

    def placement(self, key: str) -> int:
        """Term of a placement, -1 when no line item is tied to it."""
        return self.vocabulary.placement.get(key, -1)

    def blocked(self, categories: Iterable[str], domains: Iterable[str]) -> list[int]:
        """Terms of the line items that a publisher's block lists refuse.

        A domain refuses what lies below it, and its parents themselves ("www.shop.example"
        refuses "shop.example", whose pages it is) but not their other children.
        """
        words = self.vocabulary
        found = {words.category.get(category, -1) for category in categories}
        for domain in domains:
            found.add(words.under_domain.get(domain, -1))
            found.update(words.domain.get(name, -1) for name in domain_and_parents(domain))
        return sorted(found - {-1})

    def match(self, query: Query, live_line_item: NDArray[np.uint64]) -> Match:
        """The line items that may answer, as bits. The next call overwrites the result."""
        postings = self.postings
        kernels.match(
            self.scratch.words,
            self.scratch.line_slots,
            self.scratch.placed,
            self.allowed,
            live_line_item,
            self.open,
            self.unrestricted,
            self.include,
            self.exclude,
            postings.dense_row,
            postings.dense,
            postings.sparse_start,
            postings.sparse,
            query.term,
            query.term_start,
            query.blocked,
            query.slot_placement,
        )
        return self.scratch

    def open_to_all(self, dimension: Dimension) -> NDArray[np.bool_]:
        """[L] line items that name no value of the dimension."""
        return flags(self.open[dimension])[: self.line_items]


def domain_and_parents(domain: str) -> Iterator[str]:
    """The domain and those above it, down to two labels: no block reaches a bare "com"."""
    yield domain
    labels = domain.split(".")
    for start in range(1, len(labels) - 1):
        yield ".".join(labels[start:])


def category_and_parent(category: str) -> tuple[str, ...]:
    parent, dash, _ = category.partition("-")
    return (category, parent) if dash else (category,)


def opened(
    line_items: int,
    vocabulary: Vocabulary,
    postings: Postings,
    columns: dict[str, NDArray[Any]],
) -> TargetingIndex:
    """An index of these parts, ready to match: with scratch of its own."""
    words = words_for(line_items)
    scratch = Match(
        np.zeros(words, np.uint64),
        np.zeros(line_items, np.uint32),
        np.full(MAX_SLOTS, -1, np.int32),
    )
    allowed = np.zeros(words, np.uint64)
    return TargetingIndex(
        line_items, vocabulary, postings, scratch=scratch, allowed=allowed, **columns
    )
