"""What people have been shown, in the state store: read for a batch, reserved in one step, counted.

One record per person (of `auction.frequency.SIGHTING`) and one per page view (STANDING). Whatever
two workers do at the same time, the last place under a cap is given once. Times are wall
milliseconds and come as arguments; knows no HTTP and no auction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adserver.history_records import (
    drop_old_pages,
    idle,
    joined,
    packed,
    records_of,
    uncounted,
    with_room,
)
from adserver.identity import Callers, Identities, is_page, secret_of
from adserver.request import AdRequest
from adserver.seen import REMEMBERED_MS, Codes, HistorySettings, Seen, Shelf
from adserver.state.store import StateStore, Values, foreseen
from adserver.tokens import Token
from auction import frequency
from auction.caps import Caps
from auction.frequency import SIGHTING, STANDING, Moment, On, Regions, Wishes

PERSON, PAGE = b"h1/", b"v1/"
"""Prefixes of the keys; the number changes with the layout of the records."""
MOST_SALES = 512
"""Remembered of one person; beyond it the oldest are forgotten, though a cap may want them."""
MOST_ON_PAGE = 64
PAGE_PERSON_MS = 3_600_000
"""How long caps remember somebody who is known by a page view only."""
SWEPT = {PERSON: 1_000, PAGE: 5_000}
"""Records looked at in one step of the sweeper, about 10 ms. Pages die within a minute, so their
sweeper must keep up with the page views: twice a second it looks at as many."""
Records = NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Sales:
    """[T] what an auction sold, the slots of a request in a row; test requests are left out."""

    request: NDArray[np.int32]
    row: NDArray[np.int32]
    """Of the snapshot."""
    number: NDArray[np.uint64]
    """Tickets."""
    package: NDArray[np.int32] | None = None
    """Sales of one request that stand together or not at all have a number in common; 0: none."""


@dataclass(frozen=True, slots=True)
class _Asked:
    """Sales that ask to stand, whose histories and pages they are about, and the keys of those."""

    wishes: Wishes
    people: list[int]
    """Distinct; negative: nobody that the store knows, but the same within a request."""
    pages: list[int]

    @property
    def keys(self) -> list[bytes]:
        keys = [key(PERSON, person) for person in self.people] + [
            key(PAGE, page) for page in self.pages
        ]
        return [one for one in keys if one]

    def regions(self, found: Values) -> tuple[Regions, Regions]:
        """The histories and the pages, with room for what is asked."""
        known = len(self.people) - sum(person < 0 for person in self.people)
        values = iter(found[:known])
        people = [next(values) if person > 0 else None for person in self.people]
        room = np.bincount(self.wishes.person + 1, minlength=len(people) + 1)[1:].tolist()
        page_room = np.bincount(self.wishes.page + 1, minlength=len(self.pages) + 1)[1:].tolist()
        return (
            with_room(people, room, SIGHTING),
            with_room(found[known:], page_room, STANDING),
        )


class Histories:
    """Reads and writes them. One per worker, over the store that all share."""

    def __init__(self, store: StateStore, fresh: bytes, settings: HistorySettings) -> None:
        """`fresh` are 32 random bytes, the secret of the identities if this worker is the first."""
        self.store, self.settings = store, settings
        self.identities = Identities(secret_of(store, fresh), settings.no_identity)

    def look(self, requests: Sequence[AdRequest], shelf: Shelf, now_ms: int) -> Seen:
        """Everything that a batch must know, in one reading."""
        return self.look_for(self.identities.of(requests), shelf, now_ms)

    def look_for(self, callers: Callers, shelf: Shelf, now_ms: int) -> Seen:
        """The same for who is known already."""
        counts = (callers.counted & self._cares(shelf.caps)).tolist()
        people = [one if yes else 0 for one, yes in zip(callers.person, counts, strict=True)]
        found = self._read(people, callers.page)
        return Seen(
            callers=callers,
            shelf=shelf,
            moment=self._moment(shelf.caps, now_ms),
            settings=self.settings,
            person=joined(found[: len(people)], SIGHTING),
            page=joined(found[len(people) :], STANDING),
        )

    def reserve(self, seen: Seen, sales: Sales, now_ms: int) -> Codes:
        """[T] 0 where the sale stands, else why not: what is there now decides, not what was seen.

        A place is kept for each sale that stands until its event comes or the reservation ends.
        """
        asked, caps = self._asked(seen, sales, now_ms), seen.shelf.caps
        moment = self._moment(caps, now_ms)

        def change(found: Values) -> tuple[Values, Codes]:
            people, pages = asked.regions(found)
            frequency.prune(people, caps, moment)
            drop_old_pages(pages, now_ms, self.settings.rules.page_ms)
            code = frequency.grant(asked.wishes, people, pages, caps, moment, self.settings.rules)
            values = [
                value
                for person, value in zip(asked.people, packed(people, MOST_SALES), strict=True)
                if person > 0
            ]
            return [*values, *packed(pages, MOST_ON_PAGE)], code

        return self.store.update(asked.keys, change)

    def witness(self, token: Token, on: On, caps: Caps, now_ms: int) -> None:
        """An event of a sale came: its reservation lasts. For events that count only."""
        identity = self.identities.veil(token.identity, token.number)
        if identity == 0 or token.test or not self._counts(token, caps):
            return
        sale = sale_of(token, caps)
        seen = frequency.witness(sale, sale, on, now_ms)
        if not self._is_needed(seen, caps, now_ms):
            return

        def change(found: Values) -> tuple[Values, None]:
            after = frequency.witness(records_of(found[0], SIGHTING), sale, on, now_ms)
            return [after[-MOST_SALES:].tobytes()], None

        self.store.update([key(PERSON, identity)], change)

    def release(self, token: Token) -> None:
        """A sale came to nothing: its place is free, unless its event has come after all."""
        identity = self.identities.veil(token.identity, token.number)
        if identity == 0:
            return

        def change(found: Values) -> tuple[Values, None]:
            after = frequency.release(records_of(found[0], SIGHTING), token.number)
            return [after.tobytes() or None], None

        self.store.update([key(PERSON, identity)], change)

    def identity(self, seen: Seen, request: int, number: int) -> int:
        """What the token of a sale carries, so that any worker finds the history again; 0: none."""
        if not seen.callers.counted[request]:
            return 0
        return self.identities.veil(seen.callers.person[request], number)

    def sweep(self, prefix: bytes, after: bytes, caps: Caps, now_ms: int) -> bytes:
        """Remove the dead among the next few thousand; the key to go on after, empty at the end."""
        found = self.store.scan(prefix, after, SWEPT[prefix])
        dead = self._dead([k for k, _ in found], [value for _, value in found], caps, now_ms)
        keys = [k for (k, _), gone in zip(found, dead, strict=True) if gone]

        def change(values: Values) -> tuple[Values, None]:
            still = self._dead(keys, values, caps, now_ms)
            return [None if gone else v for v, gone in zip(values, still, strict=True)], None

        if keys:
            foreseen(self.store, keys, change)
        return found[-1][0] if len(found) == SWEPT[prefix] else b""

    def _dead(
        self, keys: Sequence[bytes], values: Values, caps: Caps, now_ms: int
    ) -> NDArray[np.bool_]:
        """Of persons or of pages, as the keys say."""
        if keys and keys[0].startswith(PAGE):
            return idle(values, STANDING, now_ms - self.settings.rules.page_ms)
        hour_old = idle(values, SIGHTING, now_ms - PAGE_PERSON_MS)
        pages = np.array([is_page(int.from_bytes(k[len(PERSON) :], "big")) for k in keys], np.bool_)
        return uncounted(values, caps, self._moment(caps, now_ms)) | (pages & hour_old)

    def _counts(self, token: Token, caps: Caps) -> bool:
        """False for most sales, which spares their events the rest."""
        ids = (token.ad, token.line_item, token.campaign, token.advertiser)
        return self.settings.repeat_discount > 0 or caps.concern(ids)

    def _is_needed(self, sale: Records, caps: Caps, now_ms: int) -> bool:
        return not uncounted([sale.tobytes()], caps, self._moment(caps, now_ms))[0]

    def _cares(self, caps: Caps) -> bool:
        return bool(caps) or self.settings.repeat_discount > 0

    def _moment(self, caps: Caps, now_ms: int) -> Moment:
        remembered = REMEMBERED_MS if self.settings.repeat_discount else 0
        return frequency.moment(caps, now_ms, remembered)

    def _read(self, people: Sequence[int], pages: Sequence[int]) -> Values:
        """In the order of the requests; nothing for nobody."""
        keys = [key(PERSON, one) for one in people] + [key(PAGE, one) for one in pages]
        known = [one for one in keys if one]
        values = iter(self.store.get(known) if known else [])
        return [next(values) if one else None for one in keys]

    def _asked(self, seen: Seen, sales: Sales, now_ms: int) -> _Asked:
        callers, shelf = seen.callers, seen.shelf
        request = sales.request.tolist()
        counts = (callers.counted & self._cares(shelf.caps)).tolist()
        people, person = _numbered(
            [callers.person[b] or -1 - b if counts[b] else 0 for b in request]
        )
        pages, page = _numbered([callers.page[b] for b in request])
        soft_until_ms = now_ms + self.settings.hold_ms
        sighting = frequency.sightings(sales.row, shelf.ads, shelf.caps, soft_until_ms)
        sighting["number"] = sales.number
        standing = frequency.standings(sales.row, shelf.ads, now_ms)
        alone = np.zeros(len(sales.row), np.int32)
        package = alone if sales.package is None else sales.package
        wishes = Wishes(sales.request, person, page, package, sighting, standing)
        return _Asked(wishes, people, pages)


def key(prefix: bytes, identity: int) -> bytes:
    """Of a record; empty for nobody, and for somebody who is nowhere remembered."""
    return prefix + identity.to_bytes(8, "big") if identity > 0 else b""


def sale_of(token: Token, caps: Caps) -> Records:
    """The sale as its token tells it: enough for a history that has forgotten it."""
    sale = np.zeros(1, SIGHTING)
    for name in ("number", "ad", "line_item", "campaign", "advertiser"):
        sale[name] = getattr(token, name)
    frequency.set_reach(sale, caps)
    return sale


def _numbered(identities: Sequence[int]) -> tuple[list[int], NDArray[np.int32]]:
    """The different identities, and which of them each is; -1 for 0, nobody."""
    distinct = list(dict.fromkeys(one for one in identities if one))
    number = {one: at for at, one in enumerate(distinct)}
    return distinct, np.array([number.get(one, -1) for one in identities], np.int32)
