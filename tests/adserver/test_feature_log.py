"""The feature log: what was put is read back, whatever happened to the file in between."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pyarrow as pa
import pytest

from adserver.features.log import (
    Damage,
    FeatureLog,
    FeatureLogSettings,
    batches,
    read,
    segments,
)
from adserver.features.rows import NAME, SCHEMA, WIDTHS, Rows, matrix
from ranking.features import FEATURE_SCHEMA

NOW_S = 1_793_500_000.0
NOW = int(NOW_S * 1000)
SLOW = FeatureLogSettings(linger_s=3600.0)
"""Writes when it is told to only."""


def rows(count, first=1, t=NOW):
    rng = np.random.default_rng(first)
    lists = {
        name: rng.integers(0, 1000, (count, wide)).astype(
            np.float32 if name == "counts" else np.int32
        )
        for name, wide in WIDTHS.items()
    }
    return Rows(
        decision=np.arange(first, first + count, dtype=np.uint64) | np.uint64(0xFF << 56),
        slot=np.arange(count, dtype=np.int16),
        t=np.full(count, t, np.int64),
        ad=rng.integers(1, 1 << 40, count),
        logit=rng.normal(size=count).astype(np.float32),
        pctr=rng.random(count).astype(np.float32),
        model=np.full(count, 3, np.int32),
        arm=["production", "canary1"][:count] * (count // 2) + ["production"] * (count % 2),
        quality=np.zeros(count, np.int8),
        snapshot=np.full(count, 12, np.int64),
        propensity=np.ones(count, np.float32),
        explored=np.zeros(count, np.bool_),
        **lists,
    )


@pytest.fixture
def new_log(tmp_path):
    made = []

    def make(worker=0, clock=lambda: NOW_S, settings=SLOW):
        made.append(FeatureLog(tmp_path, worker, clock, settings))
        return made[-1]

    yield make
    for log in made:
        log.close()


def test_what_was_put_is_read_back_bit_for_bit(new_log, tmp_path):
    put = rows(6)
    log = new_log()
    log.put(put)
    log.flush()

    table = read(tmp_path)

    assert table.schema == SCHEMA
    assert table.schema.metadata[NAME].decode() == FEATURE_SCHEMA
    for one in fields(Rows):
        expected, column = getattr(put, one.name), table.column(one.name)
        if one.name in WIDTHS:
            assert matrix(column, one.name).tobytes() == expected.tobytes()
        elif one.name == "arm":
            assert column.to_pylist() == expected
        else:
            assert column.to_numpy().tobytes() == expected.tobytes()
    assert (log.written, log.dropped) == (6, 0)


def test_closing_writes_what_waits(tmp_path):
    log = FeatureLog(tmp_path, 0, lambda: NOW_S, SLOW)
    log.put(rows(3))
    log.close()

    assert len(read(tmp_path)) == 3


def test_an_empty_folder_is_an_empty_table_of_the_schema(tmp_path):
    assert read(tmp_path).schema == SCHEMA
    assert len(read(tmp_path / "nowhere")) == 0


@pytest.mark.parametrize("cut", [1, 7, 100, 500])
def test_a_torn_tail_costs_the_last_batch_only(new_log, tmp_path, cut):
    log = new_log()
    for first in (1, 11, 21):
        log.put(rows(10, first))
        log.flush()
    (segment,) = segments(tmp_path)
    content = segment.path.read_bytes()
    segment.path.write_bytes(content[:-cut])
    damage = Damage()

    table = read(tmp_path, damage=damage)

    assert [one & 0xFF for one in table["decision"].to_pylist()] == list(range(1, 21))
    assert damage.torn == 1


def test_a_file_of_which_not_even_the_schema_was_written_is_left_out(tmp_path):
    (tmp_path / f"w0-{NOW}.arrows").write_bytes(b"\xff\xff\xff\xff\x10")
    (tmp_path / f"w1-{NOW}.arrows").write_bytes(b"")
    damage = Damage()

    assert len(read(tmp_path, damage=damage)) == 0
    assert damage.torn == 2


def test_rows_of_another_feature_schema_are_left_out(tmp_path):
    other = SCHEMA.with_metadata({NAME: b"another"})
    with pa.OSFile(str(tmp_path / f"w0-{NOW}.arrows"), "wb") as file:
        pa.ipc.new_stream(file, other).close()
    damage = Damage()

    assert len(read(tmp_path, damage=damage)) == 0
    assert damage.foreign == 1


def test_a_worker_that_starts_again_begins_a_new_file(new_log, tmp_path):
    for first in (1, 11):
        log = FeatureLog(tmp_path, 0, lambda: NOW_S, SLOW)
        log.put(rows(10, first))
        log.close()

    assert [segment.start_ms for segment in segments(tmp_path)] == [NOW, NOW + 1]
    assert len(read(tmp_path)) == 20


def test_a_window_of_time_holds_its_begin_and_not_its_end(new_log, tmp_path, clock):
    clock.now = NOW_S
    log = new_log(clock=clock, settings=FeatureLogSettings(linger_s=3600.0, segment_s=60))
    for minute in range(10):
        log.put(rows(2, 1 + 2 * minute, int(clock.now * 1000)))
        log.flush()
        clock.advance(60)

    table = read(tmp_path, NOW + 120_000, NOW + 300_000)

    assert len(segments(tmp_path)) == 10
    assert sorted(set(table["t"].to_pylist())) == [NOW + 60_000 * m for m in (2, 3, 4)]


def test_the_oldest_files_go_beyond_the_limit(new_log, tmp_path):
    settings = FeatureLogSettings(linger_s=3600.0, segment_bytes=1, limit_bytes=30_000)
    log = new_log(settings=settings)
    for first in range(0, 400, 10):
        log.put(rows(10, first))
        log.flush()

    kept = segments(tmp_path)

    assert 2 < len(kept) < 30
    assert sum(segment.path.stat().st_size for segment in kept[:-1]) <= 30_000
    assert read(tmp_path)["decision"].to_pylist()[-1] & 0xFFFF == 399


def test_a_full_queue_drops_and_counts_and_never_waits(new_log, tmp_path):
    log = new_log(settings=FeatureLogSettings(linger_s=3600.0, queue=25))
    for first in (1, 11, 21, 31):
        log.put(rows(10, first))
    log.flush()
    log.put(rows(10, 41))
    log.flush()

    assert (log.written, log.dropped) == (30, 20)
    assert [one & 0xFF for one in read(tmp_path)["decision"].to_pylist()][-1] == 50


def test_a_disk_that_refuses_costs_rows_not_the_worker(new_log, tmp_path):
    log = new_log()
    log.put(rows(10))
    log.flush()
    tmp_path.chmod(0o500)
    moved = tmp_path.with_name("gone")
    tmp_path.rename(moved)
    log._files.abandon()  # as after a failed write

    log.put(rows(10, 11))
    log.flush()

    assert (log.written, log.dropped) == (10, 10)
    moved.chmod(0o700)
    moved.rename(tmp_path)


def test_two_workers_write_side_by_side(new_log, tmp_path):
    for worker in (0, 1):
        log = new_log(worker)
        log.put(rows(5, 1 + 100 * worker))
        log.flush()

    assert sorted(one & 0xFF for one in read(tmp_path)["decision"].to_pylist()) == [
        *range(1, 6), *range(101, 106),
    ]  # fmt: skip
    assert sum(len(batch) for batch in batches(tmp_path)) == 10
