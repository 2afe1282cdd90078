import os
import subprocess
import sys

import pytest
from synthetic import day, write

from adserver.records import DecisionRecord, Filter, ImpressionRecord, SlotRecord, encode_line
from feedback.compaction import MERGE_AT, Compacted, compact
from feedback.warehouse import connect, load

RECORDS = day(300, seed=3)
SLOTS = sum(len(r.slots) for r in RECORDS if isinstance(r, DecisionRecord))
EVENTS = sum(not isinstance(r, DecisionRecord) for r in RECORDS)


def counts(warehouse):
    with connect(warehouse) as connection:
        return connection.execute(
            "SELECT (SELECT count(*) FROM decisions), (SELECT count(DISTINCT (decision, position)) "
            "FROM decisions), (SELECT count(*) FROM events)"
        ).fetchone()


def imp(t, number):
    return ImpressionRecord(t=t, code=Filter.OK, decided=t, decision="d", number=number)


def test_every_line_becomes_its_rows_with_all_its_fields(tmp_path):
    write(RECORDS, tmp_path / "log" / "w0-1.log")

    compacted = compact(tmp_path / "log", tmp_path / "warehouse")

    assert compacted == Compacted(SLOTS, EVENTS)
    record = next(r for r in RECORDS if isinstance(r, DecisionRecord) and len(r.slots) == 3)
    with connect(tmp_path / "warehouse") as connection:
        rows = connection.execute(
            "SELECT * FROM decisions WHERE decision = ? ORDER BY position", [record.id]
        ).fetchall()
        names = [column[0] for column in connection.description]
    for position, (row, slot) in enumerate(zip(rows, record.slots, strict=True)):
        found = dict(zip(names, row, strict=True))
        expected = {field: getattr(slot, field) for field in slot.__struct_fields__}
        assert found["position"] == position
        assert found["domain"] == record.domain
        assert expected.items() <= found.items()


def test_an_empty_log_gives_empty_tables(tmp_path):
    (tmp_path / "log").mkdir()

    assert compact(tmp_path / "log", tmp_path / "warehouse") == Compacted()
    assert counts(tmp_path / "warehouse") == (0, 0, 0)


@pytest.mark.parametrize("batch_bytes", [1, 5000, 1 << 20])
def test_any_size_of_batch_gives_the_same_rows(tmp_path, batch_bytes):
    write(RECORDS[:100], tmp_path / "log" / "w0-1.log")
    write(RECORDS[100:200], tmp_path / "log" / "w1-1.log")
    write(RECORDS[200:], tmp_path / "log" / "w0-2.log")

    compact(tmp_path / "log", tmp_path / "warehouse", batch_bytes)

    assert counts(tmp_path / "warehouse") == (SLOTS, SLOTS, EVENTS)


def test_the_segment_being_written_is_taken_over_up_to_its_last_whole_line(tmp_path):
    path = tmp_path / "log" / "w0-1.log"
    line = encode_line(imp(5, 1))
    path.parent.mkdir()
    path.write_bytes(line + line[:20])

    first = compact(tmp_path / "log", tmp_path / "warehouse")
    path.write_bytes(line + line)
    second = compact(tmp_path / "log", tmp_path / "warehouse")

    assert (first, second) == (Compacted(events=1), Compacted(events=1))


def test_damaged_lines_and_the_torn_end_of_a_dead_worker_are_counted_once(tmp_path):
    line = encode_line(imp(5, 1))
    (tmp_path / "log").mkdir()
    (tmp_path / "log" / "w0-1.log").write_bytes(line + b"rubbish\n" + line[:20])
    (tmp_path / "log" / "w0-2.log").write_bytes(line)

    done = [compact(tmp_path / "log", tmp_path / "warehouse") for _ in range(2)]

    assert sum(d.events for d in done) == 2
    assert sum(d.damaged for d in done) == load(tmp_path / "warehouse").damaged == 2


def test_an_event_is_filed_under_the_day_of_its_decision(tmp_path):
    before, after = 86_400_000 - 1, 86_400_000 + 5
    event = ImpressionRecord(t=after, code=Filter.OK, decided=before)
    write(
        [DecisionRecord(t=before, id="d", slots=(SlotRecord("s"),)), event],
        tmp_path / "log" / "w0-1.log",
    )

    compact(tmp_path / "log", tmp_path / "warehouse")

    assert load(tmp_path / "warehouse").files == (
        "decisions/date=1970-01-01/00000001.parquet",
        "events/date=1970-01-01/00000001.parquet",
    )


def test_many_small_files_become_few_and_the_old_ones_go_a_batch_later(tmp_path):
    for number in range(MERGE_AT + 2):
        write([imp(5, number)], tmp_path / "log" / "w0-1.log")
        compact(tmp_path / "log", tmp_path / "warehouse")

    progress = load(tmp_path / "warehouse")
    on_disk = list((tmp_path / "warehouse").glob("events/*/*.parquet"))

    assert len(progress.files) == len(on_disk) == 3
    assert counts(tmp_path / "warehouse")[2] == MERGE_AT + 2


KILLED = """
import os, signal, sys
from pathlib import Path
left = int(sys.argv[3])

def deadly(name):
    real = getattr(os, name)
    def call(*args, **kwargs):
        global left
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*args, **kwargs)
    setattr(os, name, call)

for name in ("fsync", "replace", "unlink"):
    deadly(name)

import feedback.compaction as compaction
compaction.MERGE_AT = 3
compaction.compact(Path(sys.argv[1]), Path(sys.argv[2]), batch_bytes=30_000)
"""


def run_killed(log, warehouse, step):
    command = [sys.executable, "-c", KILLED, str(log), str(warehouse), str(step)]
    return subprocess.run(command, check=False, env=os.environ).returncode


def test_killed_at_any_step_no_row_is_lost_or_doubled(tmp_path):
    """Each round dies one step later than the one before, on top of what the others left; in
    between, what a reader sees is a whole number of batches."""
    log, warehouse = tmp_path / "log", tmp_path / "warehouse"
    parts = [RECORDS[begin : begin + 40] for begin in range(0, len(RECORDS), 40)]
    slots = events = 0

    for step, part in enumerate(parts * 2, start=1):
        write(part, log / f"w{step % 2}-{1 + step // 4}.log")
        slots += sum(len(r.slots) for r in part if isinstance(r, DecisionRecord))
        events += sum(not isinstance(r, DecisionRecord) for r in part)
        run_killed(log, warehouse, step)
        seen = counts(warehouse)
        assert seen[0] <= slots
        assert seen[2] <= events

    compact(log, warehouse)
    assert counts(warehouse)[::2] == (slots, events)
    kept = {*load(warehouse).files, *load(warehouse).retired}
    on_disk = {str(p.relative_to(warehouse)) for p in warehouse.glob("*/*/*.parquet")}
    assert on_disk == kept


def test_the_crash_test_really_kills(tmp_path):
    write(RECORDS[:5], tmp_path / "log" / "w0-1.log")

    assert run_killed(tmp_path / "log", tmp_path / "warehouse", 1) == -9
    assert run_killed(tmp_path / "log", tmp_path / "warehouse", 10_000) == 0
