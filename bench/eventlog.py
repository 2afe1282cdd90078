"""How fast events are signed, counted, logged and compacted: one JSON line per figure.

    python -m bench.eventlog [--quick]

Microseconds are processor time of the calling thread, so that other work on the machine does not
count; rates are by the clock on the wall. Disk figures depend on the disk of --folder.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from adserver.eventlog import EventLog, LogSettings, read
from adserver.records import DecisionRecord, Filter, ImpressionRecord, SlotRecord
from adserver.tickets import Mark, TicketBook, capacity_for
from adserver.tokens import ON_PAGE, Kind, Token, event_token, signer_of
from feedback.compaction import compact
from feedback.reports import ctr
from feedback.warehouse import connect

NOW = 1_793_500_000_000
TOKEN = Token(
    decision="01JABCDEFGHJKMNPQRSTVWXYZ0",
    slot=2,
    number=NOW * 1000,
    ad=123_456,
    creative="cr-123456",
    campaign=1234,
    advertiser=567,
    placement="news/top",
    issued_ms=NOW,
    charge_micros=1310,
    clear_micros=1_310_000,
    reserved_micros=1310,
    landing="https://advertiser-567.example/landing?utm_source=adserver",
)
SIZES = (10_000, 100_000, 400_000)
"""Slot rows of the compaction benchmark."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the work")
    parser.add_argument("--folder", type=Path, help="where to write (default: a temporary folder)")
    arguments = parser.parse_args()
    scale = 10 if arguments.quick else 1
    with tempfile.TemporaryDirectory(dir=arguments.folder) as name:
        folder = Path(name)
        for figure in _figures(folder, scale):
            print(json.dumps(figure), flush=True)


def _figures(folder: Path, scale: int) -> Iterator[dict[str, object]]:
    yield from _tokens(50_000 // scale)
    yield from _tickets(folder, 50_000 // scale)
    yield _append(folder / "append", 100_000 // scale)
    for waiting in (1, 16, 64, 256):
        yield _durable(folder / f"durable-{waiting}", waiting, 10_000 // scale)
    for rows in SIZES:
        yield from _compaction(folder / f"compact-{rows}", rows // scale)


def _tokens(times: int) -> Iterator[dict[str, object]]:
    signer = signer_of("k" * 32)
    signed = signer.sign(TOKEN)
    click = event_token(signed, Kind.CLICK)
    yield _line("token.sign", _us(lambda: signer.sign(TOKEN), times) / len(ON_PAGE), "us_per_url")
    yield _line("token.cut", _us(lambda: event_token(signed, Kind.CLICK), times), "us_per_url")
    yield _line("token.verify", _us(lambda: signer.verify(click, Kind.CLICK, NOW, 1), times), "us")


def _tickets(folder: Path, times: int) -> Iterator[dict[str, object]]:
    with TicketBook(folder / "tickets", capacity_for(10_000_000), NOW) as book:
        yield _line("ticket.take", _us(book.take, times), "us")
        serials = iter([book.take() for _ in range(times)])
        yield _line(
            "ticket.use", _us(lambda: book.use(next(serials), Mark.IMPRESSION), times), "us"
        )


def _append(folder: Path, times: int) -> dict[str, object]:
    log = EventLog(folder, 0, time.time, LogSettings(queue=times + 1))
    record = _decision(1, 3)
    took = _us(lambda: log.append(record), times)
    log.close()
    return _line("log.append", took, "us", slots=3)


def _durable(folder: Path, waiting: int, events: int) -> dict[str, object]:
    """Appends per second when so many appenders wait for the disk at a time."""
    log = EventLog(folder, 0, time.time, LogSettings())
    each = max(1, min(events, 40 * waiting) // waiting)

    async def appender() -> None:
        for number in range(each):
            await log.append_durably(_impression(number))

    async def all_of_them() -> None:
        await asyncio.gather(*(appender() for _ in range(waiting)))

    began = time.perf_counter()
    asyncio.run(all_of_them())
    took = time.perf_counter() - began
    log.close()
    rate = each * waiting / took
    return _line("log.append_durably", rate, "per_s", waiting=waiting, ms=waiting / rate * 1000)


def _compaction(folder: Path, rows: int) -> Iterator[dict[str, object]]:
    log = EventLog(folder / "log", 0, time.time, LogSettings(queue=1 << 30))
    for number in range(rows // 3):
        log.append(_decision(number, 3))
        if number % 3 == 0:
            log.append(_impression(number))
    log.close()

    began = time.perf_counter()
    done = compact(folder / "log", folder / "warehouse")
    took = time.perf_counter() - began
    yield _line("compaction", (done.slots + done.events) / took, "rows_per_s", rows=done.slots)

    began = time.perf_counter()
    with connect(folder / "warehouse") as connection:
        ctr(connection, "advertiser")
    yield _line("report.ctr", (time.perf_counter() - began) * 1000, "ms", rows=done.slots)

    began = time.perf_counter()
    events = sum(1 for _ in read(folder / "log", decisions=False))
    took = time.perf_counter() - began
    size = sum(path.stat().st_size for path in (folder / "log").iterdir())
    yield _line("log.read_events", size / took / 1e6, "mb_per_s", events=events)


def _decision(number: int, slots: int) -> DecisionRecord:
    return DecisionRecord(
        t=NOW + number,
        id=f"d{number}",
        slots=tuple(_slot(number, position) for position in range(slots)),
        publisher="pub-1",
        domain="news.example",
        country="USA",
        device="phone",
        model="ctr_ranker:1",
        eligible=3000,
        retrieved=200,
        scored=200,
        took_ms=4.2,
    )


def _slot(number: int, position: int) -> SlotRecord:
    if (number + position) % 7 == 0:
        return SlotRecord(slot=f"s{position}", placement="news/top", reason=60)
    return SlotRecord(
        slot=f"s{position}",
        placement="news/top",
        number=NOW + number * 3 + position,
        ad=number % 100_000,
        creative="cr-1",
        line_item=number % 20_000,
        campaign=number % 5000,
        advertiser=number % 2000,
        bid_micros=2_000_000,
        bid_cpm_micros=2_000_000,
        clear_micros=1_310_000,
        charge_micros=1310,
        reserved_micros=1310,
        pctr=0.0123,
        plain_advertiser=number % 2000,
        plain_clear_micros=1_310_000,
    )


def _impression(number: int) -> ImpressionRecord:
    return ImpressionRecord(
        t=NOW + number,
        code=Filter.OK,
        decision=f"d{number}",
        decided=NOW + number,
        number=NOW + number * 3,
        advertiser=number % 2000,
        placement="news/top",
        billed_micros=1310,
    )


def _us(call: Callable[[], object], times: int) -> float:
    """Microseconds of this thread's processor per call, system calls included; best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.thread_time()
        for _ in range(times // 3):
            call()
        best = min(best, (time.thread_time() - began) / (times // 3) * 1e6)
    return best


def _line(name: str, value: float, unit: str, **more: object) -> dict[str, object]:
    rounded = {key: round(v, 3) if isinstance(v, float) else v for key, v in more.items()}
    return {"bench": "eventlog", "name": name, unit: round(value, 3), **rounded}


if __name__ == "__main__":
    main()
