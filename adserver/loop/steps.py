"""The steps of the loop: each from what is on disk and a state to files and the next state.

Every step may be repeated from its beginning: it writes whole files, or works on a copy of the
server's files that counts only when it is done.
"""

from __future__ import annotations

from collections.abc import Iterator

from adserver.loop import learning, serving
from adserver.loop.settings import LoopSettings
from adserver.loop.step import Step

FIRST = Step("found", serving.found)
DAY = (
    Step("simulate", serving.simulate),
    Step("collect", learning.collect),
    Step("join", learning.join),
    Step("train", learning.train),
    Step("export", learning.export),
    Step("promote", serving.promote),
)
LAST = Step("control", serving.control)


def plan(settings: LoopSettings) -> Iterator[tuple[int, Step]]:
    """All steps of a run in their order; the day after the last only shows what was learnt."""
    yield 0, FIRST
    for day in range(settings.days):
        yield from ((day, step) for step in DAY)
    yield settings.days, LAST
    yield settings.days, DAY[0]
