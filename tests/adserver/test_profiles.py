"""What is remembered of a person, in every store."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adserver.features.profiles import (
    AT_ONCE,
    FORGOTTEN_MS,
    MOST_WAITING,
    PROFILE,
    SWEPT,
    Profiles,
    key,
    opened,
)
from adserver.identity import is_page
from adserver.state.memory import MemoryStore
from adserver.state.store import StoreFailed, everything
from ranking.counts import WINDOWS_S, key_features
from ranking.features import BAG, TOPICS

NOW = 1_793_500_000_000
DAY_MS = 86_400_000
PAGE_VISITOR = 1 << 63 | 5


@pytest.fixture
def profiles(store):
    return Profiles(store)


class Down:
    """A store that answers nothing."""

    def get(self, keys):
        raise StoreFailed("no answer")

    def update(self, keys, change):
        raise StoreFailed("no answer")


def test_the_last_eight_topics_stand_newest_first(profiles):
    for topic in range(1, 12):
        profiles.witness(9, topic, False, NOW)
    for topic in (3, 5, 3):
        profiles.witness(9, topic, True, NOW)

    profiles.flush()
    known = profiles.look([9], NOW)

    assert known.seen == [[11, 10, 9, 8, 7, 6, 5, 4]]
    assert known.clicked == [[3, 5, 3]]


def test_counts_of_a_topic_decay_by_the_windows(profiles):
    for day in range(3):
        profiles.witness(9, 4, False, NOW + day * DAY_MS)
    profiles.witness(9, 4, True, NOW + 2 * DAY_MS)
    later = NOW + 3 * DAY_MS

    profiles.flush()
    known = profiles.look([9], later)

    shown = [sum(np.exp(-(3 - d) * 86_400 / w) for d in range(3)) for w in WINDOWS_S]
    clicked = [np.exp(-86_400 / w) for w in WINDOWS_S]
    expected = key_features(np.array(shown, np.float32), np.array(clicked, np.float32))
    assert known.topic[0, 4] == pytest.approx(expected, abs=1e-5)
    assert not np.delete(known.topic[0], 4, axis=0).any()


def test_a_batch_is_read_in_its_order_and_strangers_are_unknown(profiles):
    profiles.witness(1, 10, False, NOW)
    profiles.witness(2, 20, True, NOW)
    profiles.flush()

    known = profiles.look([2, 0, 7, 1, 2], NOW)

    assert known.clicked == [[20], [], [], [], [20]]
    assert known.seen == [[], [], [], [10], []]
    assert [bool(one.any()) for one in known.topic] == [True, False, False, True, True]
    assert known.found == 3


def test_page_views_and_nobody_leave_no_trace(profiles, store):
    assert is_page(PAGE_VISITOR)
    for person in (0, PAGE_VISITOR):
        profiles.witness(person, 4, True, NOW)
    profiles.flush()

    assert list(everything(store, PROFILE)) == []
    assert profiles.look([0, PAGE_VISITOR], NOW).found == 0


def test_an_ad_without_a_topic_says_nothing_of_a_person(profiles, store):
    profiles.witness(9, 0, True, NOW)
    profiles.flush()

    assert list(everything(store, PROFILE)) == []


def test_a_record_stays_short(profiles, store):
    for step in range(5 * TOPICS):
        profiles.witness(9, 1 + step % (TOPICS - 1), step % 3 == 0, NOW + step * 1000)
    profiles.flush()

    ((_, value),) = everything(store, PROFILE)

    assert len(value) < 2000
    head, topics = opened(value)
    assert len(head["seen"]) == BAG
    assert len(np.unique(topics["topic"])) == len(topics) == TOPICS - 1


def test_a_topic_of_long_ago_is_dropped_from_the_record(profiles, store):
    profiles.witness(9, 4, False, NOW)
    profiles.witness(9, 5, False, NOW + 60 * DAY_MS)
    profiles.flush()

    ((_, value),) = everything(store, PROFILE)

    assert opened(value)[1]["topic"].tolist() == [5]


def test_a_clock_that_steps_back_does_not_grow_a_count(profiles, store):
    profiles.witness(9, 4, False, NOW)
    profiles.witness(9, 4, False, NOW - 3_600_000)
    profiles.flush()

    ((_, value),) = everything(store, PROFILE)

    assert opened(value)[1]["shown"].tolist() == [[2.0, 2.0, 2.0]]


def test_it_rests_after_each_commit_and_not_while_the_store_is_held(store, monkeypatch):
    profiles, held, rests = Profiles(store), [], []
    update = store.update

    def heard(keys, change):
        held.append(True)
        result = update(keys, change)
        held.pop()
        return result

    monkeypatch.setattr(store, "update", heard)
    for person in range(1, 2 * AT_ONCE + 2):
        profiles.witness(person, 3, False, NOW)
    profiles.flush(lambda: rests.append(bool(held)))

    assert rests == [False] * 3


def test_a_store_that_is_down_means_nothing_known():
    profiles = Profiles(Down())

    profiles.witness(9, 4, True, NOW)
    profiles.flush()
    known = profiles.look([9, 8], NOW)

    assert known.clicked == [[], []]
    assert not known.topic.any()
    assert profiles.failed == 1


def test_events_wait_in_their_order_for_a_store_that_comes_back(store):
    profiles = Profiles(Down())
    for topic in (3, 4):
        profiles.witness(9, topic, True, NOW)
        profiles.flush()
    profiles.store = store
    profiles.witness(9, 5, True, NOW)
    assert profiles.look([9], NOW).found == 0

    profiles.flush()
    profiles.flush()

    assert profiles.look([9], NOW).clicked == [[5, 4, 3]]
    assert profiles.failed == 0


def test_what_waits_is_bounded_and_what_is_forgotten_is_counted():
    profiles = Profiles(Down())
    for number in range(MOST_WAITING + 30):
        profiles.witness(1 + number % 7, 4, True, NOW)
        if number % 20_000 == 0:
            profiles.flush()

    profiles.flush()

    assert profiles.failed == 30
    profiles.store = MemoryStore()
    profiles.flush()
    records = [opened(value)[1] for _, value in everything(profiles.store, PROFILE)]
    assert sum(topics["clicked"][0, 0] for topics in records) == MOST_WAITING


@settings(deadline=None, max_examples=30)
@given(st.data())
def test_many_events_in_one_commit_leave_what_one_commit_for_each_leaves(data):
    """More of them than one commit takes, by two workers in turns."""
    number = st.integers(1, AT_ONCE + 40)
    event = st.tuples(number, st.integers(1, TOPICS - 1), st.booleans(), st.integers(0, DAY_MS))
    events = data.draw(st.lists(event, max_size=60))
    together, apart = MemoryStore(), MemoryStore()
    crowd = [(person, 7, False, 0) for person in range(1, AT_ONCE + 41)]
    workers, one = [Profiles(together), Profiles(together)], Profiles(apart)
    for at, (person, topic, clicked, later) in enumerate(crowd + events):
        workers[person % 2].witness(person, topic, clicked, NOW + later)
        one.witness(person, topic, clicked, NOW + later)
        one.flush()
        if at % 11 == 0:
            workers[at % 2].flush()
    for worker in workers:
        worker.flush()

    assert list(everything(together, PROFILE)) == list(everything(apart, PROFILE))


def test_the_idle_are_swept_and_the_others_stay(profiles, store):
    for person in range(1, SWEPT + 50):
        profiles.witness(person, 4, False, NOW if person % 2 else NOW + FORGOTTEN_MS)
    profiles.flush()

    after = profiles.sweep(b"", NOW + FORGOTTEN_MS + 1)
    assert after == key(SWEPT)
    assert profiles.sweep(after, NOW + FORGOTTEN_MS + 1) == b""

    kept = [int.from_bytes(name[len(PROFILE) :], "big") for name, _ in everything(store, PROFILE)]
    assert kept == list(range(2, SWEPT + 50, 2))
