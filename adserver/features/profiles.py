"""What lately interested a person: a short record in the state store, read for a batch at once.

Only who is known by the publisher's user key has one; a page view's visitor has not. Found by the
same keyed hash as the history of caps, so that the store names nobody. Events wait for `flush`,
many of them to a commit: a model may learn half a second late what somebody clicked. Times are wall
milliseconds and come as arguments; `flush` may run in another thread.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adserver.features.cells import WINDOWS, WINDOWS_MS, Floats
from adserver.features.rests import Rest, at_once
from adserver.identity import is_page
from adserver.state.store import StateStore, StoreFailed, Values, foreseen
from ranking.counts import EACH, key_features
from ranking.features import BAG, TOPICS

PROFILE = b"fp1/"
"""Prefix of the keys."""
SWEPT: Final = 1_000
"""Records looked at in one step of the sweeper."""
FORGOTTEN_MS: Final = 30 * 86_400_000
"""Records of people not heard of for this long are removed: little of a week's window is left."""
AT_ONCE: Final = 64
"""Events in one commit, two milliseconds of computing before it."""
MOST_WAITING: Final = 50_000
"""Events kept while the store takes none, some MB; beyond it they are forgotten."""
LEAST: Final = 0.01
"""Impressions of a topic below which it is dropped from a record."""

HEAD: Final = np.dtype([("t_ms", np.int64), ("clicked", np.uint8, BAG), ("seen", np.uint8, BAG)])
TOPIC: Final = np.dtype(
    [("topic", np.uint8), ("shown", np.float32, WINDOWS), ("clicked", np.float32, WINDOWS)]
)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of a batch's people, of one moment; B requests."""

    clicked: list[list[int]]
    """Topics, newest first, of the last ads that each clicked; the same of those shown."""
    seen: list[list[int]]
    topic: Floats
    """[B, TOPICS, EACH] of `ranking.counts.key_features`; zeros: nothing known."""
    found: int = 0
    """People of whom there is a record."""

    @classmethod
    def nothing(cls, requests: int) -> Known:
        none: list[list[int]] = [[]] * requests
        return cls(none, none, np.zeros((requests, TOPICS, EACH), np.float32))


class Event(NamedTuple):
    """An ad of a topic was shown to somebody, or clicked on."""

    topic: int
    clicked: bool
    at_ms: int


@dataclass(slots=True)
class Profiles:
    """Reads and writes them. One per worker, over the store that all share."""

    store: StateStore
    failed: int = 0
    """Readings that the store did not answer, and events forgotten: treated as nothing known."""
    _waiting: list[tuple[int, Event]] = field(default_factory=list)
    """Persons and what they saw, oldest first."""
    _lock: Lock = field(default_factory=Lock)

    def look(self, people: Sequence[int], now_ms: int) -> Known:
        """Of each request's person (`identity.Callers.person`), in one reading."""
        mine = [at for at, one in enumerate(people) if one and not is_page(one)]
        if not mine:
            return Known.nothing(len(people))
        try:
            values = self.store.get([key(people[at]) for at in mine])
        except StoreFailed:
            self.failed += 1
            return Known.nothing(len(people))
        found = [(at, value) for at, value in zip(mine, values, strict=True) if value]
        return _known(len(people), found, now_ms)

    def witness(self, person: int, topic: int, clicked: bool, now_ms: int) -> None:
        """The person was shown an ad of a topic, or clicked on it; for events that count only."""
        if not person or is_page(person) or not 0 < topic < TOPICS:
            return
        with self._lock:
            if len(self._waiting) < MOST_WAITING:
                self._waiting.append((person, Event(topic, clicked, now_ms)))
            else:
                self.failed += 1

    def flush(self, rest: Rest = at_once) -> None:
        """Write what was witnessed. What the store does not take waits for the next time."""
        with self._lock:
            waiting, self._waiting = self._waiting, []
        for begin in range(0, len(waiting), AT_ONCE):
            try:
                self._write(waiting[begin : begin + AT_ONCE])
            except StoreFailed:
                self._put_back(waiting[begin:])
                return
            rest()

    def sweep(self, begin: bytes, now_ms: int) -> bytes:
        """Remove the idle among the next records; the key to go on after, empty at the end."""
        found = self.store.scan(PROFILE, begin, SWEPT)
        dead = [one for one, value in found if _is_idle(value, now_ms)]

        def change(values: Values) -> tuple[Values, None]:
            return [None if v and _is_idle(v, now_ms) else v for v in values], None

        if dead:
            self.store.update(dead, change)
        return found[-1][0] if len(found) == SWEPT else b""

    def _write(self, waiting: Sequence[tuple[int, Event]]) -> None:
        events: dict[int, list[Event]] = {}
        for person, event in waiting:
            events.setdefault(person, []).append(event)

        def change(found: Values) -> tuple[Values, None]:
            both = zip(found, events.values(), strict=True)
            return [after(value, own) for value, own in both], None

        foreseen(self.store, [key(person) for person in events], change)

    def _put_back(self, back: Sequence[tuple[int, Event]]) -> None:
        """Before what came meanwhile, which is newer."""
        with self._lock:
            self.failed += max(len(back) + len(self._waiting) - MOST_WAITING, 0)
            self._waiting = [*back, *self._waiting][:MOST_WAITING]


def key(person: int) -> bytes:
    return PROFILE + person.to_bytes(8, "big")


def after(value: bytes | None, events: Sequence[Event]) -> bytes:
    """A record after more impressions and clicks, oldest first."""
    head, topics = opened(value, [event.topic for event in events])
    for topic, clicked, at_ms in events:
        bag = head["clicked" if clicked else "seen"]
        bag[1:] = bag[:-1].copy()
        bag[0] = topic
        now_ms = max(at_ms, int(head["t_ms"]))
        _decay(topics, int(head["t_ms"]), now_ms)
        topics["clicked" if clicked else "shown"][topics["topic"] == topic] += np.float32(1)
        head["t_ms"] = now_ms
    kept = np.maximum(topics["shown"], topics["clicked"]).max(axis=1) >= LEAST
    record: bytes = head.tobytes() + topics[kept].tobytes()
    return record


def opened(value: bytes | None, wanted: Sequence[int] = ()) -> tuple[np.void, NDArray[np.void]]:
    """A record's head and its topics, writeable, the `wanted` ones among them."""
    content = bytearray(value or bytes(HEAD.itemsize))
    known = set(content[HEAD.itemsize :: TOPIC.itemsize])
    for topic in dict.fromkeys(one for one in wanted if one not in known):
        content += bytes([topic]).ljust(TOPIC.itemsize, b"\0")
    topics = np.frombuffer(content, TOPIC, offset=HEAD.itemsize)
    head: np.void = np.frombuffer(content, HEAD, 1)[0]
    return head, topics


def _decay(topics: NDArray[np.void], t_ms: int, now_ms: int) -> None:
    left = np.exp(-max(now_ms - t_ms, 0) / WINDOWS_MS).astype(np.float32)
    topics["shown"] *= left
    topics["clicked"] *= left


def _known(requests: int, found: Sequence[tuple[int, bytes]], now_ms: int) -> Known:
    known = Known.nothing(requests)
    clicked: list[list[int]] = [[] for _ in range(requests)]
    seen: list[list[int]] = [[] for _ in range(requests)]
    for at, value in found:
        head, topics = opened(value)
        clicked[at] = [topic for topic in head["clicked"].tolist() if topic]
        seen[at] = [topic for topic in head["seen"].tolist() if topic]
        _decay(topics, int(head["t_ms"]), now_ms)
        shown, clicks = (np.ascontiguousarray(topics[name]) for name in ("shown", "clicked"))
        known.topic[at, topics["topic"]] = key_features(shown, clicks)
    return Known(clicked, seen, known.topic, len(found))


def _is_idle(value: bytes, now_ms: int) -> bool:
    return int(np.frombuffer(value, np.int64, 1)[0]) < now_ms - FORGOTTEN_MS
