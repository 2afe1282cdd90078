"""Columns into numbers: equal values equal hashes, in time order, whatever the parts."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from clicked import crossed
from numpy.testing import assert_array_equal

from ranking.tabular.parts import FEWEST_ROWS, split
from ranking.tabular.rows import BATCH, MISSING, MOST_TOKENS, TooLittle, read

ROLES = {"label": "label", "time_ms": "time", "who": "category", "place": "category"}
ROLES |= {"paid": "count", "tags": "bag", "note": "kept"}


def part(path, **columns):
    fields = [pa.field(n, a.type, metadata={"role": ROLES[n]}) for n, a in columns.items()]
    pq.write_table(pa.table(list(columns.values()), schema=pa.schema(fields)), path)
    return path


def columns(label, time_ms, who, place, paid, tags):
    texts = {"who": pa.array(who, pa.string()), "tags": pa.array(tags, pa.string())}
    numbers = {"place": pa.array(place, pa.int64()), "paid": pa.array(paid, pa.int64())}
    base = {"label": pa.array(label, pa.uint8()), "time_ms": pa.array(time_ms, pa.int64())}
    return {**base, **texts, **numbers, "note": pa.array(["x"] * len(label))}


def test_values_become_hashes_numbers_and_tokens(tmp_path):
    held = columns(
        label=[0, 1, 0],
        time_ms=[1_000, 2_000, 3_000],
        who=["ann", None, "ann"],
        place=[7, -7, None],
        paid=[3, None, 5],
        tags=["1,22,1", "", None],
    )
    rows = read([part(tmp_path / "part-0.parquet", **held)])

    who, place, tags = rows.category["who"], rows.category["place"], rows.bag["tags"]
    assert who[0] == who[2] != who[1] == MISSING
    assert len({*place.tolist()}) == 3
    assert place[2] == MISSING
    assert_array_equal(rows.count["paid"], np.array([3, np.nan, 5], np.float32))
    assert tags[0, 0] == tags[0, 2] != tags[0, 1] != 0
    assert not tags[0, 3:].any()
    assert not tags[1:].any()
    assert list(rows.category) == ["who", "place"]
    assert_array_equal(rows.time_s, [1, 2, 3])


def test_parts_are_read_as_one_log_in_time_order(tmp_path):
    rng = np.random.default_rng(1)
    total = BATCH + 10
    time = rng.permutation(total)
    files = []
    for number, at in enumerate(np.array_split(time, 2)):
        held = columns(
            at % 2, at * 1000, [f"u{t}" for t in at], at, at, [f"{t},{t % 5}" for t in at]
        )
        files.append(part(tmp_path / f"part-{number}.parquet", **held))

    rows = read(files)

    assert_array_equal(rows.time_s, np.arange(total))
    assert_array_equal(rows.click, np.arange(total) % 2)
    assert_array_equal(rows.count["paid"], np.arange(total, dtype=np.float32))
    assert len(np.unique(rows.category["who"])) == len(np.unique(rows.category["place"])) == total
    assert len(np.unique(rows.bag["tags"][:, 1])) == 5


def test_tokens_beyond_the_most_are_left_out(tmp_path):
    many = ",".join(str(n) for n in range(40))
    rows = read([part(tmp_path / "p.parquet", **columns([0], [0], ["a"], [1], [1], [many]))])

    assert (rows.bag["tags"][0] != 0).sum() == MOST_TOKENS


@pytest.mark.parametrize("parts", [[], ["empty"]])
def test_a_log_without_rows_says_so(tmp_path, parts):
    files = [part(tmp_path / one, **columns([], [], [], [], [], [])) for one in parts]

    with pytest.raises(TooLittle, match="no rows"):
        read(files)


def test_a_log_without_a_label_says_so(tmp_path):
    held = columns([0], [0], ["a"], [1], [1], ["t"])
    del held["label"]

    with pytest.raises(TooLittle, match="no label"):
        read([part(tmp_path / "p.parquet", **held)])


def test_parts_follow_each_other_in_time_and_share_no_moment():
    rows = crossed(1_000, 1)
    rows.time_s[:] = np.repeat(np.arange(40), 25) * 60.0

    cut = split(rows)

    for before, after in ((cut.train, cut.validation), (cut.validation, cut.test)):
        assert before.stop == after.start
        assert rows.time_s[before.stop - 1] < rows.time_s[after.start]
    assert cut.test.stop == 1_000


def test_a_log_of_one_moment_is_cut_as_it_stands():
    rows = crossed(1_000, 2)
    rows.time_s[:] = 5.0

    assert split(rows).test == slice(800, 1_000)


def test_too_few_rows_are_refused():
    with pytest.raises(TooLittle, match=f"at least {FEWEST_ROWS}"):
        split(crossed(FEWEST_ROWS - 1, 3))
