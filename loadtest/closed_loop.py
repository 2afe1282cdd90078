"""A fixed number of requests in flight: each answer is followed by the next request.

Shows how much a server can do. Its latencies flatter a server that stalls, because nobody asks
meanwhile; judge those with `open_loop`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count, cycle
from time import monotonic, process_time, time_ns

from loadtest.recorder import Recorder
from loadtest.tally import Run, Summary, summarise
from loadtest.target import Target
from loadtest.traffic import Shot, viewed_anew

CONNECTIONS_PER_REQUEST = 4
"""More connections than requests in flight: where each belongs to one server process, requests
spread evenly, as they do behind a load balancer."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """How many ask at once, and for how long."""

    in_flight: int
    seconds: float
    warm_up_s: float = 0.5
    timeout_s: float = 2.0
    most: int = 10_000_000
    """Requests after which it ends early."""


async def closed_loop(target: Target, load: Sequence[Shot], crowd: Crowd) -> Summary:
    """Keep the crowd asking until its time is over, then wait for the last answers."""
    connections = CONNECTIONS_PER_REQUEST * crowd.in_flight
    recorder = Recorder(target, connections, crowd.timeout_s)
    await recorder.client.open(connections)
    recorder.measured_from = monotonic() + crowd.warm_up_s
    until = recorder.measured_from + crowd.seconds
    endless, left = map(viewed_anew, cycle(load), count(time_ns())), crowd.most

    def ask() -> None:
        nonlocal left
        now = monotonic()
        if now < until and left > 0:
            left -= 1
            recorder.send(next(endless), now)

    recorder.after = ask
    try:
        for _ in range(crowd.in_flight):
            ask()
        await asyncio.sleep(crowd.warm_up_s)
        cpu_from = process_time()
        while monotonic() < until and left > 0:  # noqa: ASYNC110 — two ends, one of them a time
            await asyncio.sleep(min(0.05, crowd.seconds / 4))
        cpu_s = process_time() - cpu_from
        await recorder.client.settle()
    finally:
        await recorder.client.close()
    seconds = min(crowd.seconds, monotonic() - recorder.measured_from)
    return summarise(recorder.tally, Run(seconds, len(recorder.tally), cpu_s))
