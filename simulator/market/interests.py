"""What each user is interested in at each moment, and which segments say so, some days late.

A user keeps a main interest for a while, then turns to another over days; a second interest lasts.
All of it is hashed from user and time: any moment can be asked for without what came before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.draw import hashed_uniform, normalised, pick, quantiles
from simulator.market.settings import DAY_S, MarketSettings, ShiftKind
from simulator.market.shifts import Shifts
from simulator.visits import SEGMENTS, Tables, drawing_tables, once
from simulator.world import SEGMENTS as WORLD_SEGMENTS
from simulator.world import TOPICS, World

LASTING = 0.35
"""Weight of the second interest beside the main one's 1."""
BESIDE = 0.3
"""Weight of the topic that comes along with each."""
LASTING_SLOTS = (2, 5)
"""Of the SEGMENTS of a user, those that follow the second interest."""
WITHOUT = 0.06
"""Share of users who are in no segment."""
FEWEST = 3
"""Segments of the others, of which some may be the same."""


@dataclass(frozen=True, slots=True)
class Phase:
    """[B] where users are between two main interests."""

    number: NDArray[np.int64]
    """How many main interests came before; hashes what belongs to one of them."""
    topic: NDArray[np.int32]
    following: NDArray[np.int32]
    turned: NDArray[np.float64]
    """0 ... 1: how far from `topic` to `following`."""


class Interests:
    """Of all users of one market."""

    def __init__(self, world: World, settings: MarketSettings, shifts: Shifts) -> None:
        self.settings, self.shifts = settings, shifts
        self.tables: Tables = drawing_tables(world)
        closeness = world.segment.topic.T.astype(np.float64)
        self._segment = quantiles(world.segment.weight * (0.0002 + closeness**10))
        eye = np.eye(TOPICS)
        second = (hashed_uniform(np.arange(TOPICS), 71) * (TOPICS - 1)).astype(np.int64)
        beside = (np.arange(TOPICS) + 1 + second) % TOPICS
        self.taste = normalised(eye + BESIDE * eye[beside])
        """[TOPICS, TOPICS] what a user who is interested in a topic likes."""

    def soul(self, user: NDArray[np.int64]) -> NDArray[np.int64]:
        """[B] what the traits of a user are hashed from."""
        return user + (self.settings.seed << 40)

    def phase(self, user: NDArray[np.int64], at_s: NDArray[np.float64]) -> Phase:
        """Users at wall seconds `at_s` [B]; the first half of each main interest is constant."""
        soul = self.soul(user)
        length = self.settings.drift_days * (0.5 + hashed_uniform(soul, 72))
        passed = (at_s - self.settings.start_s) / DAY_S / length + hashed_uniform(soul, 73) + 8.0
        number = np.floor(passed).astype(np.int64)
        return Phase(
            number,
            self._topic(soul, number, at_s),
            self._topic(soul, number + 1, at_s),
            np.clip(2.0 * (passed - number) - 1.0, 0.0, 1.0),
        )

    def _topic(
        self, soul: NDArray[np.int64], number: NDArray[np.int64], at_s: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        topic = pick(self.tables.topic, 0, hashed_uniform(soul * 4_099 + number, 74))
        for one in self.shifts.of_kind(ShiftKind.INTERESTS_SWAP):
            hit = (at_s >= one.at_s) & (hashed_uniform(soul, 75) < one.size)
            topic = np.where(hit, self.shifts.swapped[topic], topic)
        return topic

    def _lasting(self, user: NDArray[np.int64]) -> NDArray[np.int32]:
        return pick(self.tables.topic, 0, hashed_uniform(self.soul(user), 76))

    def current(
        self, user: NDArray[np.int64], at_s: NDArray[np.float64], chance: NDArray[np.float64]
    ) -> NDArray[np.int32]:
        """[B] one topic on the user's mind, in proportion to the interests; `chance` in [0, 1)."""
        phase = self.phase(user, at_s)
        share = LASTING / (1 + LASTING)
        main = np.where(chance * (1 + LASTING) < phase.turned, phase.following, phase.topic)
        return np.where(chance >= 1 - share, self._lasting(user), main).astype(np.int32)

    def vectors(self, user: NDArray[np.int64], at_s: NDArray[np.float64]) -> NDArray[np.float32]:
        """[B, TOPICS] rows of length one."""
        phase = self.phase(user, at_s)
        turned = phase.turned.astype(np.float32)[:, None]
        main = (1 - turned) * self.taste[phase.topic] + turned * self.taste[phase.following]
        return normalised(main + np.float32(LASTING) * self.taste[self._lasting(user)])

    def segments(self, user: NDArray[np.int64], at_s: NDArray[np.float64]) -> NDArray[np.int32]:
        """[B, SEGMENTS] of the interests of `lag_days` ago; those of a silent provider are -1."""
        soul = self.soul(user)
        phase = self.phase(user, at_s - self.settings.lag_days * DAY_S)
        held = self._held(soul)
        lasting = self._lasting(user)
        columns = []
        for i in range(SEGMENTS):
            # each slot turns at a moment of its own, so that segments change one by one
            turned = phase.turned > hashed_uniform(soul, 80 + i)
            topic, epoch = np.where(turned, phase.following, phase.topic), phase.number + turned
            if i in LASTING_SLOTS:
                topic, epoch = lasting, np.zeros_like(phase.number)
            drawn = pick(self._segment, topic, hashed_uniform(soul * 4_099 + epoch, 90 + i))
            columns.append(np.where(i < held, drawn, -1))
        bag = np.stack(columns, axis=1).astype(np.int32)
        return self._provided(once(bag, bag), at_s)

    def _held(self, soul: NDArray[np.int64]) -> NDArray[np.int64]:
        chance = (hashed_uniform(soul, 77) - WITHOUT) / (1 - WITHOUT)
        held: NDArray[np.int64] = np.ceil(FEWEST - 1 + chance * (SEGMENTS + 1 - FEWEST)).astype(
            np.int64
        )
        return np.where(chance < 0, 0, held)

    def _provided(self, bag: NDArray[np.int32], at_s: NDArray[np.float64]) -> NDArray[np.int32]:
        for one in self.shifts.of_kind(ShiftKind.SEGMENTS_VANISH):
            silent = hashed_uniform(np.arange(WORLD_SEGMENTS), 79) < one.size
            gone = silent[bag] & (at_s >= one.at_s)[:, None]
            bag = np.where(gone, np.int32(-1), bag)
        return bag
