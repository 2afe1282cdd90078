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
LEARN = (
    Step("collect", learning.collect),
    Step("watch", learning.watch),
    Step("join", learning.join),
    Step("train", learning.train),
    Step("export", learning.export),
    Step("release", serving.release),
)
LAST = Step("control", serving.control)


def plan(settings: LoopSettings) -> Iterator[tuple[int, Step]]:
    """All steps of a run in their order; the day after the last only shows what was learnt."""
    serve = [Step(f"simulate {one[0]:02}", serving.simulate(one)) for one in settings.parts]
    yield 0, FIRST
    for day in range(settings.days):
        yield from ((day, step) for step in (*serve, *LEARN))
    yield from ((settings.days, step) for step in (LAST, *serve))
