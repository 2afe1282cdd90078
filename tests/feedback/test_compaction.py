import signal
import subprocess
import sys
from subprocess import PIPE

import pytest
from synthetic import day, write

from adserver.records import DecisionRecord, Filter, ImpressionRecord, SlotRecord, encode_line
from feedback.compaction import MERGE_AT, Compacted, compact
from feedback.warehouse import connect, load

RECORDS = day(300, seed=3)


def rows_of(records):
    """Slots and events."""
    decisions = [record for record in records if isinstance(record, DecisionRecord)]
    return sum(len(d.slots) for d in decisions), len(records) - len(decisions)


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

    assert compacted == Compacted(*rows_of(RECORDS))
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
    write(RECORDS[:10], tmp_path / "log" / "w0-1.log")
    write(RECORDS[10:20], tmp_path / "log" / "w1-1.log")
    write(RECORDS[20:40], tmp_path / "log" / "w0-2.log")

    compact(tmp_path / "log", tmp_path / "warehouse", batch_bytes)

    slots, events = rows_of(RECORDS[:40])
    assert counts(tmp_path / "warehouse") == (slots, slots, events)


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
import feedback.compaction as compaction

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
compaction.MERGE_AT = 3
log, warehouse = map(Path, sys.argv[1:])
for line in sys.stdin:  # the number of the step at which to die
    child = os.fork()
    if child == 0:
        left = int(line)
        compaction.compact(log, warehouse, batch_bytes=30_000)
        os._exit(0)
    print(os.waitpid(child, 0)[1], flush=True)
"""


@pytest.fixture
def run_killed(tmp_path):
    """Runs compactions that kill themselves at their n-th fsync, rename or removal."""
    command = [sys.executable, "-c", KILLED, str(tmp_path / "log"), str(tmp_path / "warehouse")]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, text=True) as parent:

        def run(step):
            print(step, file=parent.stdin, flush=True)
            return int(parent.stdout.readline())

        yield run
        parent.stdin.close()


def test_killed_at_any_step_no_row_is_lost_or_doubled(tmp_path, run_killed):
    """Each round dies one step later than the one before, on top of what the others left; in
    between, what a reader sees is never more than there is."""
    log, warehouse = tmp_path / "log", tmp_path / "warehouse"
    written, killed = [], 0

    for step in range(1, 25):
        part = RECORDS[step * 30 : step * 30 + 30]
        write(part, log / f"w{step % 2}-{1 + step // 4}.log")
        written += part
        killed += run_killed(step) == signal.SIGKILL
        seen, distinct, events = counts(warehouse)
        slots_written, events_written = rows_of(written)
        assert seen == distinct <= slots_written
        assert events <= events_written

    compact(log, warehouse)
    assert killed > 12
    assert counts(warehouse)[::2] == rows_of(written)
    kept = {*load(warehouse).files, *load(warehouse).retired}
    on_disk = {str(p.relative_to(warehouse)) for p in warehouse.glob("*/*/*.parquet")}
    assert on_disk == kept


def test_a_compaction_that_is_left_alone_ends_well(tmp_path, run_killed):
    write(RECORDS, tmp_path / "log" / "w0-1.log")

    assert run_killed(10_000) == 0
    assert counts(tmp_path / "warehouse")[::2] == rows_of(RECORDS)
