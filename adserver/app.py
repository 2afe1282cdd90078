"""The process of one worker: event loop, signals, socket. `python -m adserver.app NUMBER`."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import sys

import structlog
import uvloop
from aiohttp import web

from adserver import cores, metrics
from adserver.errors import ConfigError
from adserver.http import Routes
from adserver.insider import Insider
from adserver.logs import configure_logs
from adserver.settings import Settings, from_environment
from adserver.web.files import static_files
from adserver.worker import Worker

BACKLOG = 1024
SWITCH_S = 0.0005
"""A thread that computes gives way to the event loop within this. The usual 5 ms are lost at every
reading of the store, which lets other threads in: eight in a batch made 40 ms of nothing, and a
thread that writes held the store's lock as long against all other workers."""
DRAIN_S = 5.0
"""Requests under way at a SIGTERM have this long; none needs more than its deadline."""


async def serve(settings: Settings, number: int) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for what in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(what, stop.set)
    metrics.forget_the_dead()
    worker = Worker(settings, number)
    await worker.start()
    routes = Routes(
        worker,
        settings.deadline_ms,
        settings.public_url,
        settings.seat,
        static_files(),
        Insider(settings.adserver_debug_key),
    )
    # Bodies reach us as they were sent: a broken gzip is the caller's mistake, to be named.
    runner = web.AppRunner(
        routes.app(), access_log=None, handle_signals=False, auto_decompress=False
    )
    await runner.setup()
    site = web.TCPSite(
        runner, settings.host, settings.port, backlog=BACKLOG, reuse_port=settings.workers > 1
    )
    await site.start()
    _settle_garbage_collector()
    structlog.get_logger().info("serving", worker=number, port=settings.port, pid=os.getpid())
    await stop.wait()
    worker.drain()
    await site.stop()
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(runner.shutdown(), DRAIN_S)
    await worker.stop()
    await runner.cleanup()


def _settle_garbage_collector() -> None:
    """What is loaded by now stays for good; looking at it again would cost milliseconds.

    The loop stands still while new ones are looked at, the longer the more there are, and once more
    with those of the time before. Much fewer would be reached within every large batch.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 1, 10_000)


def main() -> int:
    configure_logs()
    sys.setswitchinterval(SWITCH_S)
    try:
        settings, number = from_environment(os.environ), int(sys.argv[1])
        if settings.own_cores == "on":
            cores.keep_to_own(number, settings.workers)
        uvloop.run(serve(settings, number))
    except ConfigError as error:
        for mistake in error.mistakes:
            structlog.get_logger().error("configuration", mistake=mistake)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
