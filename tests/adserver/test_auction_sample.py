"""The durable sample of auctions: chosen by number, bounded, readable whatever happened to it."""

from __future__ import annotations

import queue

import pytest
from auction_records import AT_MS, Market, same

from adserver.auctions.record import joined
from adserver.auctions.sample import (
    GROUP,
    WAITING,
    Damage,
    SampleSettings,
    SampleWriter,
    framed,
    is_sampled,
    latest,
    pseudonymous,
    read_sample,
    segments,
)
from adserver.request import AdRequest

NOW = AT_MS / 1000


def written(folder, batches, clock=lambda: NOW, worker=3, settings=SampleSettings()):  # noqa: B008
    writer = SampleWriter(folder, worker, clock, settings)
    for batch in batches:
        for page in batch:
            writer.put(page)
    writer.close()
    return writer


def test_what_was_put_is_read_in_order_and_in_groups(tmp_path):
    market = Market(1)
    batches = [market.sampled(4) for _ in range(40)]

    writer = written(tmp_path, batches)

    records = list(read_sample(tmp_path))
    assert same(joined(records), joined([page for batch in batches for page in batch]))
    assert max(len(record) for record in records) == GROUP
    assert writer.written == sum(s.path.stat().st_size for s in segments(tmp_path))
    assert writer.dropped == 0


def test_readers_get_the_time_that_they_ask_for(tmp_path):
    market = Market(2)
    batches = [market.sampled(2) for _ in range(30)]
    written(tmp_path, batches)
    since, until = AT_MS + 50, AT_MS + 120

    found = joined(list(read_sample(tmp_path, since, until)))

    assert found.notes.at_ms.min() == since
    assert found.notes.at_ms.max() == until - 10
    assert len(found) == 2 * 7


def test_a_share_of_the_numbers_is_sampled_always_the_same():
    numbers = [3 << 56 | 1_800_000_000 << 24 | n for n in range(100_000)]

    chosen = [number for number in numbers if is_sampled(number, 100)]

    assert len(chosen) == pytest.approx(1000, abs=100)
    assert chosen == [number for number in numbers if is_sampled(number, 100)]
    assert all(is_sampled(number, 1) for number in numbers[:100])


def test_segments_end_by_age_and_the_oldest_go_when_there_are_too_many(tmp_path, clock):
    market = Market(3)
    pages = market.sampled(1)
    size = len(framed(pages[0]))
    settings = SampleSettings(limit_bytes=3 * size, segment_s=60)
    for _ in range(6):
        written(tmp_path, [pages], clock, settings=settings)
        clock.advance(61)

    starts = [segment.start_ms for segment in segments(tmp_path)]

    assert starts == [int((1000 + 61 * n) * 1000) for n in (2, 3, 4, 5)]


def test_the_latest_groups_of_each_worker_are_read_without_the_others(tmp_path):
    pages = [Market(7).sampled(2) for _ in range(5)]
    for batch in pages:
        written(tmp_path, [batch], worker=1)
    written(tmp_path, [pages[0]], worker=2)

    found = list(latest(tmp_path, 2))

    assert [len(record) for record in found] == [2, 2, 2]
    assert same(joined(found), joined([page for batch in [*pages[3:], pages[0]] for page in batch]))


def test_other_workers_segments_are_left_alone(tmp_path):
    pages = Market(4).sampled(2)
    written(tmp_path, [pages], worker=1)
    written(tmp_path, [pages], worker=2, settings=SampleSettings(limit_bytes=0))
    written(tmp_path, [pages], worker=2, settings=SampleSettings(limit_bytes=0))

    assert [segment.worker for segment in segments(tmp_path)] == [1, 2]


def test_a_torn_or_altered_frame_is_left_out_and_counted(tmp_path):
    market = Market(5)
    for _ in range(3):
        written(tmp_path, [market.sampled(2)])
    (segment,) = segments(tmp_path)
    data = bytearray(segment.path.read_bytes())
    data[40] ^= 255
    segment.path.write_bytes(data[:-5])
    damage = Damage()

    records = list(read_sample(tmp_path, damage=damage))

    assert len(records) == 1
    assert damage.frames == 2


def test_a_thread_that_is_behind_costs_pages_not_decisions(tmp_path):
    writer = written(tmp_path, [])  # its thread has ended: nobody takes what is put
    (page,) = Market(6).sampled(1)
    with pytest.raises(queue.Empty):
        writer._waiting.get_nowait()

    for _ in range(WAITING + 7):
        writer.put(page)

    assert writer.dropped == 7


def test_a_user_stands_under_one_pseudonym_per_key():
    one, other = AdRequest("r", (), user="u1"), AdRequest("r", (), user="u2")

    pseudonym = pseudonymous(one, "key").user

    assert pseudonym == pseudonymous(one, "key").user
    assert len({pseudonym, pseudonymous(one, "k2").user, pseudonymous(other, "key").user}) == 3
    assert "u1" not in pseudonym
    assert pseudonymous(AdRequest("r", ()), "key").user == ""
