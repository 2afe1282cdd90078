"""Requests at a constant average rate, whatever the server does: what its callers go through.

    python -m loadtest.open_loop --rate 500 --seconds 60

Arrivals are Poisson. A latency counts from the moment at which the request should have been sent,
so that a stall of the server is seen by everyone who would have come meanwhile. Ends with status
1 if a request got a 5xx, no answer, or none in time.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from time import monotonic, process_time, time_ns
from typing import Annotated

import numpy as np
import orjson
import typer
import uvloop
from numpy.typing import NDArray
from rich.console import Console

from loadtest.alarm import Alarm
from loadtest.recorder import Recorder, Viewer
from loadtest.table import table
from loadtest.tally import Run, Summary, summarise
from loadtest.target import Target, default_url, target_of
from loadtest.traffic import Shot, shots, viewed_anew

DISTINCT = 20_000
"""Different requests made beforehand; a longer run sends them again."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to ask, and for how long."""

    rate: float = 500.0
    """Requests per second on average."""
    seconds: float = 60.0
    """Of measuring."""
    warm_up_s: float = 5.0
    seed: int = 1
    connections: int = 256
    """At most; as many are opened as the load needs."""
    timeout_s: float = 2.0
    events: bool = False
    """See every ad, and click some."""


def arrivals(plan: Plan) -> NDArray[np.float64]:
    """Seconds after the start at which requests are due: Poisson at the plan's rate."""
    rng = np.random.default_rng([plan.seed, 2])
    most = int(plan.rate * (plan.seconds + plan.warm_up_s) * 1.2 + 100)
    due = np.cumsum(rng.exponential(1 / plan.rate, most))
    return due[due < plan.seconds + plan.warm_up_s]


async def open_loop(target: Target, load: Sequence[Shot], plan: Plan) -> Summary:
    """Send the load over and over as planned, and wait for the last answer."""
    recorder = recorder_of(target, plan)
    return summarise(recorder.tally, await sent(recorder, load, plan))


def recorder_of(target: Target, plan: Plan) -> Recorder:
    """Of nothing yet; it sees ads if the plan says so."""
    recorder = Recorder(target, plan.connections, plan.timeout_s)
    if plan.events:
        recorder.viewer = Viewer(target.host, np.random.default_rng([plan.seed, 3]).random)
    return recorder


async def sent(recorder: Recorder, load: Sequence[Shot], plan: Plan) -> Run:
    """The same with a recorder of the caller's, who reads its tally."""
    await recorder.client.open(min(plan.connections, 32))
    pacer = _Pacer(recorder, load, arrivals(plan), plan.warm_up_s)
    try:
        await pacer.finished
        cpu_s = process_time() - pacer.cpu_from
        await recorder.client.settle()
    finally:
        pacer.alarm.close()
        await recorder.client.close()
    late = np.quantile(pacer.late, 0.99) if pacer.late else 0.0
    return Run(plan.seconds, len(pacer.late), cpu_s, float(late * 1000))


class _Pacer:
    """Writes each request when its time has come."""

    def __init__(
        self, recorder: Recorder, load: Sequence[Shot], after: NDArray[np.float64], warm_up_s: float
    ) -> None:
        loop = asyncio.get_running_loop()
        self.finished: asyncio.Future[None] = loop.create_future()
        self.late: list[float] = []
        self.cpu_from = process_time()
        self._recorder, self._load, self._next = recorder, load, 0
        self._first_view = time_ns()
        start = monotonic() + 0.05
        recorder.measured_from = start + warm_up_s
        self._due: list[float] = (after + start).tolist()
        self.alarm = Alarm(loop, self._ring)
        self.alarm.set(start)

    def _ring(self) -> None:
        due, load, recorder = self._due, self._load, self._recorder
        while self._next < len(due) and due[self._next] <= monotonic():
            at = due[self._next]
            shot = load[self._next % len(load)]
            recorder.send(viewed_anew(shot, self._first_view + self._next), at)
            self._next += 1
            self._note(at)
        if self._next < len(due):
            self.alarm.set(due[self._next])
        elif not self.finished.done():
            self.finished.set_result(None)

    def _note(self, at: float) -> None:
        if at < self._recorder.measured_from:
            return
        if not self.late:
            self.cpu_from = process_time()
        self.late.append(monotonic() - at)


def main(
    url: Annotated[str, typer.Option(help="The server. Default: from HOST and PORT.")] = "",
    rate: Annotated[float, typer.Option(help="Requests per second.", min=0.1)] = 500.0,
    seconds: Annotated[float, typer.Option(help="Of measuring.", min=0.1)] = 60.0,
    warm_up: Annotated[float, typer.Option(help="Seconds before that.", min=0.0)] = 5.0,
    seed: Annotated[int, typer.Option(help="Of requests and arrivals.")] = 1,
    events: Annotated[bool, typer.Option(help="Also see the ads and click some.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds to wait for an answer.")] = 2.0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
    remote: Annotated[bool, typer.Option(help="Allow a server on another machine.")] = False,
) -> None:
    """Poisson arrivals against a running server; latency from the intended send time."""
    console = Console(stderr=True)
    try:
        target = target_of(url or default_url(os.environ), remote)
    except (ValueError, OSError) as error:
        console.print(f"[red]{error}[/red]")
        raise typer.Exit(2) from None
    plan = Plan(rate, seconds, warm_up, seed, timeout_s=timeout, events=events)
    with console.status("making requests"):
        load = shots(seed, min(DISTINCT, len(arrivals(plan)) + 1), target.host)
    gc.freeze()
    with console.status(f"{rate:g} requests/s for {warm_up:g} + {seconds:g} s"):
        summary = uvloop.run(open_loop(target, load, plan))
    if json:
        sys.stdout.buffer.write(orjson.dumps(summary.as_json()) + b"\n")
    else:
        Console().print(table(summary, f"open loop, {target.host}"))
    raise typer.Exit(int(summary.failed or not summary.requests))


if __name__ == "__main__":
    typer.run(main)
