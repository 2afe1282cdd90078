"""Retrieval: from requests to the ads worth scoring.

This module decides how to look for the best ads of each request. It knows nothing of where the
requests came from or of what is done with the ads.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from retrieval import kernels
from retrieval.costs import Costs
from retrieval.funnel import count_misfits
from retrieval.kinds import Kinds
from retrieval.query import MAX_SLOTS, Candidates, Live, Query
from retrieval.settings import RetrievalSettings
from retrieval.standing import Standing
from retrieval.targeting import Match, TargetingIndex
from retrieval.vectors import AdVectors


class Plan(IntEnum):
    """How a request's candidates were found."""

    NOTHING = 0  # no ad may be shown
    SCAN = 1  # every eligible ad was weighed: exact
    GRAPH = 2  # the graph's nearest, then checked against targeting: approximate
    DEVICE = 3  # the selector weighed every eligible ad and scored the best: exact


class Room(NamedTuple):
    """Where the candidates of one request are written."""

    ad: NDArray[np.int32]
    value: NDArray[np.float32]
    slots: NDArray[np.uint32]


class Found(NamedTuple):
    """How a request was answered."""

    ads: int
    eligible: int
    plan: Plan


class Retriever:
    """Finds the best ads of each request among all that may be shown.

    One thread at a time: the scratch is shared by its calls. The arrays of a `Live` must not be
    written once it has been passed here; a change is a new array.
    """

    def __init__(
        self,
        index: TargetingIndex,
        vectors: AdVectors,
        ad_start: NDArray[np.int32],
        size: NDArray[np.int16],
        attributes: NDArray[np.uint32],
        secure: NDArray[np.uint8],
        settings: RetrievalSettings,
    ) -> None:
        self.index = index
        self.vectors = vectors
        self.settings = settings
        self.costs: Costs | None = None
        """Crossover between the plans; without it every request is scanned."""
        self.ad_start = np.array(ad_start, np.int32)
        self.kinds = Kinds.of(size, attributes, secure, vectors.per_click)
        self.standing = Standing(self.ad_start, self.kinds, vectors)
        self._ads = self._columns()
        self._work = self._scratch(0)

    def retrieve(self, queries: Sequence[Query], live: Live, k: int) -> Candidates:
        """The best k ads of each request, best first, equal values by the lower row.

        Where slots accept different ads, each distinct slot has at least k // slots of its best.
        """
        self._prepare(live, k)
        batch = len(queries)
        ad = np.empty(batch * k, np.int32)
        value = np.empty(batch * k, np.float32)
        slots = np.empty(batch * k, np.uint32)
        offset = np.zeros(batch + 1, np.int32)
        eligible = np.zeros(batch, np.int32)
        plan = np.zeros(batch, np.int8)
        for n, query in enumerate(queries):
            start = int(offset[n])
            match = self.index.match(query, live.line_item)
            room = Room(ad[start:], value[start:], slots[start:])
            found, eligible[n], plan[n] = self._find_in_order(query, match, live, k, room)
            offset[n + 1] = start + found
        end = offset[-1]
        return Candidates(ad[:end], value[:end], slots[:end], offset, eligible, plan)

    def funnel(self, query: Query, live: Live) -> dict[int, int]:
        """Ads that may not be shown, by the Misfit that comes first; eligible ones are left out."""
        return count_misfits(self.index, self.kinds, self.ad_start, query, live)

    def scan(self, query: Query, match: Match, k: int, room: Room) -> Found:
        """The exact answer: weigh every matched ad that could still be among the best."""
        count, eligible = kernels.retrieve(
            match.words,
            match.line_slots,
            self.index.unrestricted,
            self._ads,
            self._work,
            _ask(query),
            k,
            *room,
        )
        return Found(count, eligible, Plan.SCAN if eligible else Plan.NOTHING)

    def count(self, query: Query, match: Match) -> tuple[int, bool]:
        """Ads that may be shown, exactly, and whether all slots accept the same ads."""
        eligible, alike = kernels.count_eligible(
            match.words,
            match.line_slots,
            self.index.unrestricted,
            self._ads,
            self._work,
            _ask(query),
        )
        return eligible, alike

    def search(self, query: Query, match: Match, k: int, fetch: int, room: Room) -> int:
        """Write the best k of about `fetch` ads near the query that may be shown; their number."""
        graph = self.vectors.graph
        assert graph is not None
        near = graph.nearest(query.vector, fetch, self.settings.ef)
        words, line_slots = match.words, match.line_slots
        found: int = kernels.retrieve_some(
            near, words, line_slots, self._ads, self._work, _ask(query), k, *room
        )
        return found

    def _find_in_order(self, query: Query, match: Match, live: Live, k: int, room: Room) -> Found:
        """The best of those that are sold first, then of the others, then of those sold last."""
        first, last = _among(match.words, live.first), _among(match.words, live.last)
        if first is None and last is None:
            return self._find(query, match, k, room)
        rest = match.words
        for some in (first, last):
            rest = rest if some is None else rest & ~some
        found, eligible, plan = 0, 0, Plan.NOTHING
        for words, most in ((first, (k + 1) // 2), (rest, k), (last, k)):
            if words is None:
                continue
            part = replace(match, words=words)
            space = Room(room.ad[found:], room.value[found:], room.slots[found:])
            if most > found:
                more = self._find(query, part, most - found, space)
            else:
                more = Found(0, self.count(query, part)[0], Plan.NOTHING)
            found, eligible = found + more.ads, eligible + more.eligible
            plan = max(plan, more.plan)
        return Found(found, eligible, plan)

    def _find(self, query: Query, match: Match, k: int, room: Room) -> Found:
        if self.costs is None or not self.costs.may_pay(match.words):
            return self.scan(query, match, k, room)
        guess = self._guess(query, match)
        if not self.costs.pays(guess, self._fetch(guess, k)):
            return self.scan(query, match, k, room)
        return self._search(query, match, k, room)

    def _search(self, query: Query, match: Match, k: int, room: Room) -> Found:
        """Search; if too few may be shown, search twice as wide; in the end scan."""
        eligible, alike = self.count(query, match)
        fetch = self._fetch(eligible, k)
        # The graph knows one order of all ads: it could starve a slot that takes few of them.
        for width in (fetch, 2 * fetch) if alike else ():
            found = self.search(query, match, k, width, room)
            if found >= min(k, eligible):
                return Found(found, eligible, Plan.GRAPH if eligible else Plan.NOTHING)
        return self.scan(query, match, k, room)

    def _guess(self, query: Query, match: Match) -> int:
        """About how many ads may be shown, in microseconds: as if kinds and targeting were apart.

        Counting them takes a good part of a scan, so it must not come before the choice.
        """
        fitting = self.kinds.count[self.kinds.narrowing(query)[2] != 0].sum()
        matched = np.bitwise_count(match.words).sum() / max(1, self.index.line_items)
        return int(fitting * matched)

    def _fetch(self, eligible: int, k: int) -> int:
        ads = len(self.vectors.norm)
        wanted = k * ads / max(1, eligible)
        return min(ads, int(self.settings.over_fetch * wanted) + 50)

    def _prepare(self, live: Live, k: int) -> None:
        if self.standing.follow(live):
            self._ads = self._ads._replace(kind=self.standing.kind, near=self.standing.near)
        if self._work.keys.shape[1] < k:
            self._work = self._scratch(k)

    def _columns(self) -> kernels.Ads:
        vectors, kinds = self.vectors, self.kinds
        lines = np.arange(self.index.line_items, dtype=np.int32)
        return kernels.Ads(
            start=self.ad_start,
            line_of=np.repeat(lines, np.diff(self.ad_start)),
            kind=self.standing.kind,
            kind_size=kinds.size,
            kind_attributes=kinds.attributes,
            kind_secure=kinds.secure,
            kind_click=kinds.per_click,
            rotation=vectors.rotation,
            near=self.standing.near,
            head=vectors.head,
            rest=vectors.rest,
            fine=vectors.fine,
            highest=self.standing.highest,
            line=self.standing.line,
            middle=self.standing.line.view(np.int8),
        )

    def _scratch(self, k: int) -> kernels.Work:
        kinds, groups = len(self.kinds.size), MAX_SLOTS + 1
        lines = self.index.line_items
        return kernels.Work(
            kind_slots=np.zeros(kinds + 1, np.uint32),
            kind_bias=np.zeros(kinds + 1, np.float32),
            query=np.zeros(self.vectors.rotation.shape[1], np.int16),
            length=np.zeros(3, np.float32),
            group_slots=np.zeros(groups, np.uint32),
            keys=np.zeros((groups, k), np.int64),
            fill=np.zeros(groups, np.int32),
            floor=np.zeros(groups, np.float32),
            best=np.zeros(groups, np.int32),
            chosen=np.zeros(2 * k, np.int64),
            rows=np.zeros(kernels.CHUNK, np.int32),
            slots=np.zeros(kernels.CHUNK, np.uint32),
            known=np.zeros(kernels.CHUNK, np.float32),
            found=np.zeros(lines + 1, np.int32),
            step_of=np.zeros(lines + 1, np.int16),
            order=np.zeros(lines, np.int32),
            promise=np.zeros(lines, np.float32),
            begins=np.zeros(kernels.SPAN + 1, np.int32),
        )


def _among(words: NDArray[np.uint64], some: NDArray[np.uint64] | None) -> NDArray[np.uint64] | None:
    """The bits of both; None where there are none."""
    both = None if some is None else words & some
    return both if both is not None and both.any() else None


def _ask(query: Query) -> kernels.Ask:
    return kernels.Ask(
        query.slots_by_size,
        query.blocked_attribute,
        query.secure,
        query.slot_placement,
        query.vector,
        np.float32(query.bias),
    )
