"""The ring of the latest auctions: read by anybody, never torn, never in the writer's way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from auction_records import FIRST, Market, append, packed, ring_of, same

from adserver.auctions import ring as ring_module
from adserver.auctions.encoding import decode
from adserver.auctions.find import find
from adserver.auctions.ring import Ring, path_of, rings

SMALL = 1 << 16


def test_what_was_appended_is_read_by_its_number(tmp_path):
    market, ring = Market(1), ring_of(tmp_path)
    batches = [market.batch(pages) for pages in (1, 4, 2)]
    for batch in batches:
        assert append(ring, batch)

    for batch in batches:
        for page, number in enumerate(batch.notes.number.tolist()):
            assert same(find(tmp_path, number), batch.page(page))


def test_another_process_reads_what_this_one_writes(tmp_path):
    ring = ring_of(tmp_path)
    append(ring, Market(1).batch(2))

    code = (
        "import sys; from pathlib import Path; from adserver.auctions.find import find;"
        "print(find(Path(sys.argv[1]), int(sys.argv[2])).request().id)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path), str(FIRST + 1)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip

    assert done.stdout.strip() == "r1"


def test_what_was_appended_is_written_out_and_a_closed_or_failing_file_stops_nobody(
    tmp_path, monkeypatch
):
    written, ring = [], ring_of(tmp_path)
    append(ring, Market(1).batch(2))

    def write(descriptor: int) -> None:
        written.append(os.fstat(descriptor).st_ino)
        raise OSError("the disk is gone")

    monkeypatch.setattr(os, "fdatasync", write)
    ring.write_out()
    ring.close()
    ring.write_out()

    assert written == [path_of(tmp_path, 3).stat().st_ino]


def test_a_full_ring_keeps_the_newest_and_says_what_is_gone(tmp_path):
    market, ring = Market(2), ring_of(tmp_path, SMALL)
    batches = [market.batch(3) for _ in range(60)]
    for batch in batches:
        append(ring, batch)

    kept = [same_or_gone(tmp_path, batch) for batch in batches]

    assert ring.overwritten > 0
    assert kept == sorted(kept)  # gone first, then all that are still there
    assert 10 < sum(kept) < 60
    assert ring.oldest_ms() == int(batches[kept.index(True)].notes.at_ms[0])
    assert "overwritten" in find(tmp_path, FIRST)


def same_or_gone(folder, batch) -> bool:
    found = find(folder, int(batch.notes.number[0]))
    assert isinstance(found, str) or same(found, batch.page(0))
    return not isinstance(found, str)


def test_a_reader_that_is_lapped_while_it_copies_gets_nothing(tmp_path):
    market, ring = Market(3), ring_of(tmp_path, SMALL)
    append(ring, market.batch(3))
    reader = Ring.open(tmp_path, 3)
    entry = reader.entries()[0]
    assert decode(reader.read(entry))

    while ring.written < 2 * SMALL:
        append(ring, market.batch(3))

    assert reader.read(entry) is None
    assert not reader.still_there(entry["position"])


def test_a_reader_beside_a_busy_writer_sees_whole_records_only(tmp_path):
    """The writer laps the small ring again and again in another process meanwhile."""
    append(ring_of(tmp_path, SMALL), Market(4).batch(1))
    code = (
        "import sys; from pathlib import Path\n"
        "from auction_records import *\n"
        "ring, batches = ring_of(Path(sys.argv[1]), 1 << 16), [Market(4).batch(3)] * 50\n"
        "while True:\n"
        "    for batch in batches: append(ring, batch)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=Path(__file__).parents[2], env=os.environ | {"PYTHONPATH": "tests/adserver:."},
    )  # fmt: skip
    try:
        expected, intact, newest = None, 0, 0
        reader = Ring.open(tmp_path, 3)
        while intact < 50 or newest <= 2 * SMALL:
            assert writer.poll() is None
            entries = reader.entries()  # none where the writer has lapped the ring meanwhile
            newest = max([newest, *entries["position"][-1:].tolist()])
            for entry in entries[-3:]:
                if int(entry["pages"]) == 1 or (data := reader.read(entry)) is None:
                    continue
                expected = expected or data
                assert data == expected
                intact += 1
    finally:
        writer.kill()
        writer.wait()


def test_a_restarted_worker_goes_on_where_it_ended(tmp_path):
    market = Market(5)
    before, after = market.batch(2), market.batch(2)
    append(ring_of(tmp_path), before)

    append(ring_of(tmp_path), after)

    for batch in (before, after):
        assert same(find(tmp_path, int(batch.notes.number[1])), batch.page(1))


def test_another_size_or_another_boot_begins_the_ring_anew(tmp_path, monkeypatch):
    append(ring_of(tmp_path), Market(6).batch())
    append(ring_of(tmp_path, SMALL), Market(6).batch())
    assert len(Ring.open(tmp_path, 3).entries()) == 1

    (tmp_path / "boot").write_text("another")
    monkeypatch.setattr(ring_module, "BOOT_ID", tmp_path / "boot")

    assert Ring.open(tmp_path, 3) is None
    assert ring_of(tmp_path, SMALL).oldest_ms() is None


def test_a_record_that_would_fill_the_ring_is_refused_and_counted(tmp_path):
    ring = ring_of(tmp_path, 1 << 12)

    assert not append(ring, Market(7).batch(40))

    assert ring.refused == 1
    assert ring.oldest_ms() is None


def test_a_file_that_takes_no_more_costs_records_and_nothing_else(tmp_path):
    market, ring = Market(11), ring_of(tmp_path)
    kept = market.batch(2)
    append(ring, kept)
    ring.close()

    assert not append(ring, market.batch(2))

    assert ring.refused == 1
    assert same(find(tmp_path, FIRST), kept.page(0))


def test_numbers_that_no_ring_holds_are_answered_with_the_reason(tmp_path):
    market, ring = Market(8), ring_of(tmp_path)
    append(ring, market.batch(2))
    market.next += 1  # one request was declined: no auction was held
    append(ring, market.batch(2))

    assert find(tmp_path, FIRST + 2).endswith("no auction was held")
    assert "not been written" in find(tmp_path, FIRST + 99)
    assert "no worker 9" in find(tmp_path, 9 << 56)


def test_files_that_are_no_rings_are_passed_over(tmp_path):
    append(ring_of(tmp_path), Market(9).batch())
    path_of(tmp_path, 4).write_bytes(b"")
    path_of(tmp_path, 5).write_bytes(b"nonsense" * 100)
    (tmp_path / "wx.ring").write_bytes(b"")

    assert [ring.worker for ring in rings(tmp_path)] == [3]


def test_an_index_that_is_overtaken_gives_no_entry_twice(tmp_path):
    """More records than the index has entries: only the newest are listed."""
    market, ring = Market(10, candidates=0), ring_of(tmp_path, SMALL)
    size = packed(market.batch(1)).size
    for _ in range(3 * SMALL // size):
        append(ring, market.batch(1))

    entries = Ring.open(tmp_path, 3).entries()

    numbers = entries["number"].astype(np.int64)
    assert (np.diff(numbers) == 1).all()
    assert int(numbers[-1]) == market.next - 1
