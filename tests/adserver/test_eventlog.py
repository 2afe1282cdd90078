import asyncio
import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from adserver.eventlog import (
    Damage,
    EventLog,
    LogFailed,
    LogSettings,
    complete_lines,
    read,
    segments,
)
from adserver.records import (
    ClickRecord,
    DecisionRecord,
    Filter,
    ImpressionRecord,
    SlotRecord,
    ViewableRecord,
    decode_line,
    encode_line,
)

NOW = 1_793_500_000.0
PROMPT = LogSettings(linger_ms=1, gather_ms=0)
RECORDS = [
    DecisionRecord(
        t=1, id="d1", slots=(SlotRecord("top", number=5), SlotRecord("side", reason=60))
    ),
    ImpressionRecord(t=2, code=Filter.OK, decision="d1", number=5, billed_micros=900),
    ViewableRecord(t=3, code=Filter.DUPLICATE),
    ClickRecord(t=4, code=Filter.NO_PRIOR_IMP, placement="line\nbreak and ünicode"),
]


@pytest.fixture
def log(tmp_path):
    log = EventLog(tmp_path, 0, lambda: NOW, PROMPT)
    yield log
    log.close()


def imp(number):
    return ImpressionRecord(t=int(NOW * 1000), code=Filter.OK, number=number, billed_micros=1)


@pytest.mark.parametrize("record", RECORDS, ids=lambda r: type(r).__name__)
def test_a_record_is_one_line_and_comes_back_as_it_was(record):
    line = encode_line(record)

    assert line.count(b"\n") == 1
    assert decode_line(line.rstrip(b"\n")) == record


def test_a_changed_byte_anywhere_is_noticed():
    line = encode_line(RECORDS[1]).rstrip(b"\n")

    for place in range(9, len(line)):
        assert decode_line(line[:place] + b"~" + line[place + 1 :]) is None


def test_a_reader_skips_fields_of_a_later_version():
    from zlib import crc32

    text = b'{"kind":"click","t":1,"code":"OK","v":2,"colour":"red"}'

    assert decode_line(b"%08x %b" % (crc32(text), text)) == ClickRecord(t=1, code=Filter.OK, v=2)


def test_what_is_appended_is_read_in_order(tmp_path):
    log = EventLog(tmp_path, 0, lambda: NOW, PROMPT)
    for record in RECORDS:
        assert log.append(record)
    log.close()

    assert list(read(tmp_path)) == RECORDS
    assert list(read(tmp_path, decisions=False)) == RECORDS[1:]
    assert list(read(tmp_path, since_ms=3)) == RECORDS[2:]


def test_a_durable_event_is_on_disk_when_its_appender_goes_on(log, tmp_path):
    async def append():
        await asyncio.gather(*(log.append_durably(imp(n)) for n in range(50)))
        return {record.number for record in read(tmp_path)}

    assert asyncio.run(append()) == set(range(50))


def test_a_full_queue_refuses_decisions_and_counts_them_but_takes_billable_events(tmp_path):
    log = EventLog(tmp_path, 0, lambda: NOW, LogSettings(queue=2, linger_ms=60_000))

    taken = [log.append(RECORDS[0]) for _ in range(5)]
    full = log.backlog
    asyncio.run(log.append_durably(imp(1)))
    log.close()

    assert (taken, log.refused, full) == ([True, True, False, False, False], 3, 1.0)
    assert len(list(read(tmp_path))) == 3


def test_a_disk_that_fails_is_told_to_every_appender_and_never_forgiven(tmp_path, monkeypatch):
    log = EventLog(tmp_path, 0, lambda: NOW, PROMPT)
    asyncio.run(log.append_durably(imp(1)))

    def broken(descriptor):
        raise OSError(errno.EIO, "the disk is gone")

    with monkeypatch.context() as broke:
        broke.setattr(os, "fsync", broken)
        with pytest.raises(LogFailed, match="the disk is gone"):
            asyncio.run(log.append_durably(imp(2)))

    with pytest.raises(LogFailed):
        asyncio.run(log.append_durably(imp(3)))
    assert not log.append(RECORDS[0])
    assert log.failure is not None
    assert log.refused == 1
    log.close()


def test_segments_end_by_size_and_by_age_and_never_reuse_a_name(tmp_path, clock):
    settings = LogSettings(segment_bytes=1, segment_s=60, linger_ms=1)
    log = EventLog(tmp_path, 3, clock, settings)
    for number in range(3):
        asyncio.run(log.append_durably(imp(number)))
    log.close()
    again = EventLog(tmp_path, 3, clock, LogSettings(segment_s=60, linger_ms=1))
    asyncio.run(again.append_durably(imp(3)))
    clock.advance(61)
    asyncio.run(again.append_durably(imp(4)))
    again.close()

    assert [segment.worker for segment in segments(tmp_path)] == [3] * 5
    assert [record.number for record in read(tmp_path)] == [0, 1, 2, 3, 4]


def test_old_segments_are_not_even_opened(tmp_path):
    (tmp_path / "w0-1000.log").mkdir()  # reading it would fail
    (tmp_path / "w0-2000.log").write_bytes(encode_line(ImpressionRecord(t=2500, code=Filter.OK)))

    assert [record.t for record in read(tmp_path, since_ms=2000)] == [2500]


def test_torn_and_damaged_lines_are_left_out_and_counted(tmp_path):
    good = [encode_line(record) for record in RECORDS]
    data = good[0] + b"0000" + good[1] + good[2] + b"\n" + b"\xff\r\x00\n" + good[3] + good[0][:-9]
    (tmp_path / "w0-1.log").write_bytes(data)
    damage = Damage()

    assert list(read(tmp_path, damage=damage)) == [RECORDS[0], RECORDS[2], RECORDS[3]]
    assert damage.lines == 4


@pytest.mark.parametrize("limit", [1, 100, 10_000])
def test_lines_come_whole_however_small_the_bites(tmp_path, limit):
    path = tmp_path / "w0-1.log"
    path.write_bytes(b"".join(map(encode_line, RECORDS)) + b"half a li")
    found, offset = [], 0
    while True:
        lines, end = complete_lines(path, offset, limit)
        if not lines:
            break
        found, offset = found + lines, end

    assert list(map(decode_line, found)) == RECORDS
    assert offset == path.stat().st_size - len("half a li")


WRITER = """
import asyncio, sys
from pathlib import Path
from adserver.eventlog import EventLog, LogSettings
from adserver.records import Filter, ImpressionRecord

async def one(log, number):
    await log.append_durably(ImpressionRecord(t=1, code=Filter.OK, number=number))
    print(number, flush=True)

async def main():
    log = EventLog(Path(sys.argv[1]), 0, lambda: 1000.0, LogSettings())
    for begin in range(0, 1_000_000, 20):
        await asyncio.gather(*(one(log, n) for n in range(begin, begin + 20)))

asyncio.run(main())
"""


def test_every_acknowledged_event_survives_kill_9(tmp_path):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path)], stdout=subprocess.PIPE)
    acknowledged = [int(writer.stdout.readline()) for _ in range(500)]
    writer.send_signal(signal.SIGKILL)
    rest = writer.communicate()[0].split(b"\n")[:-1]
    acknowledged += map(int, rest)

    assert set(acknowledged) <= {record.number for record in read(tmp_path)}


def test_appends_from_many_threads_are_all_there(log, tmp_path):
    def append():
        asyncio.run(log.append_durably(imp(threading.get_ident())))

    threads = [threading.Thread(target=append) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(list(read(tmp_path))) == 8
