"""Other people's logs into checked columns: every format, every state a file can be in."""

from __future__ import annotations

import gzip
import hashlib
import json

import pyarrow.parquet as pq
import pytest
from log_lines import (
    AVAZU,
    CRITEO,
    OBD,
    TALKINGDATA,
    avazu_line,
    criteo_line,
    obd_line,
    talkingdata_line,
)

from adserver.errors import ConfigError
from feedback.importing.lines import LONGEST
from feedback.importing.run import Plan, import_log

WHOLE = Plan()


def imported(tmp_path, content, plan=WHOLE, name="log"):
    """Rows, quarantine and manifest of a file with that content."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    out = tmp_path / "out"
    manifest = import_log([path], out, plan)
    parts = [pq.read_table(out / part["file"]) for part in manifest["parts"]]
    rows = [row for part in parts for row in part.to_pylist()]
    aside = [json.loads(line) for line in (out / "quarantine.jsonl").read_text().splitlines()]
    assert json.loads((out / "manifest.json").read_text()) == manifest
    assert manifest["rows_in"] == manifest["rows_out"] + manifest["quarantined"]
    assert len(rows) == manifest["rows_out"]
    assert len(aside) == manifest["quarantined"] == sum(manifest["reasons"].values())
    return rows, aside, manifest


def test_criteo_lines_become_labels_counts_and_categories(tmp_path):
    line = "1\t1\t-2\t\t5" + "\t0" * 9 + "\t68fd1e64\t" + "\tfb936136" * 24

    (row,), _, manifest = imported(tmp_path, line + "\n")

    assert manifest["format"] == "criteo"
    assert row["label"] == 1
    assert (row["I1"], row["I2"], row["I3"], row["I4"]) == (1, -2, None, 5)
    assert (row["C1"], row["C2"], row["C3"]) == ("68fd1e64", None, "fb936136")
    assert manifest["clicks"] == 1
    assert manifest["time_ms"] is None


def test_criteo_as_other_tools_saved_it_is_read_by_its_heading(tmp_path):
    """Commas, a column of row numbers, whole numbers written as floats."""
    heading = ",".join(["Id", "Label", *CRITEO])
    line = ",".join(["1000", "0", *["260.0"] * 13, *["05db9164"] * 26])

    (row,), _, manifest = imported(tmp_path, f"{heading}\n{line}\n")

    assert (row["label"], row["I13"], row["C26"]) == (0, 260, "05db9164")
    assert manifest["rows_in"] == 1
    assert manifest["sources"][0]["ignored_fields"] == ["Id"]


def test_avazu_tells_the_hour_and_keeps_its_codes(tmp_path):
    rows, _, manifest = imported(tmp_path, "\n".join([AVAZU, avazu_line(1, 14102123)]))

    assert manifest["format"] == "avazu"
    assert rows[0]["time_ms"] == 1_413_932_400_000  # 2014-10-21 23:00 UTC
    assert (rows[0]["label"], rows[0]["C20"], rows[0]["site_id"]) == (1, -1, "1fbe01fe")


@pytest.mark.parametrize(
    "time",
    ["2017-11-07 09:30:00", "2017-11-07 9:30", "11/7/2017 9:30", "2017-11-07T10:30:00.000+01:00"],
)
def test_talkingdata_times_are_read_as_every_spreadsheet_writes_them(tmp_path, time):
    (row,), _, manifest = imported(tmp_path, f"{TALKINGDATA}\n{talkingdata_line(1, time)}\n")

    assert manifest["format"] == "talkingdata"
    assert row["time_ms"] == 1_510_047_000_000
    assert (row["ip"], row["channel"], row["label"]) == (87_540, 497, 1)


def test_open_bandit_keeps_its_propensities(tmp_path):
    (row,), _, manifest = imported(tmp_path, f"{OBD}\n{obd_line(1, 2)}\n")

    assert manifest["format"] == "obd"
    assert (row["propensity_score"], row["position"], row["item_id"]) == (0.0125, 3, 2)
    assert row["user-item_affinity_1"] == 1.5
    assert row["time_ms"] == 1_574_553_634_762


BAD = [
    (criteo_line(2), "no whole number in range", "label"),
    (criteo_line(""), "missing value", "label"),
    (criteo_line("x"), "no whole number in range", "label"),
    (criteo_line(0, "1.5"), "no whole number in range", "I1"),
    (criteo_line(0, "9" * 17), "no whole number in range", "I1"),
    (criteo_line(0, "9" * 40), "no whole number in range", "I1"),
    (criteo_line(0, "-"), "no whole number in range", "I1"),
    (criteo_line(0, 1, "xyz"), "not hexadecimal", "C1"),
    (criteo_line(0, 1, "a" * 17), "value too long", "C1"),
    (criteo_line(0, 1, "é"), "not hexadecimal", "C1"),
    (criteo_line() + "\t1", "wrong number of fields", None),
    (criteo_line()[:-9], "wrong number of fields", None),
    ("", "empty line", None),
    ("\r", "empty line", None),
    ("hello", "wrong number of fields", None),
    (criteo_line(0, "1\0"), "zero byte", None),
    (criteo_line(0, 1, "a" * (LONGEST // 20)), "line too long", None),
]


@pytest.mark.parametrize(("line", "reason", "field"), BAD)
def test_a_line_that_cannot_be_understood_is_set_aside_with_its_place(
    tmp_path, line, reason, field
):
    good = criteo_line()

    rows, (aside,), manifest = imported(tmp_path, f"{good}\n{good}\n{line}\n{good}\n")

    assert len(rows) == 3
    assert (aside["line"], aside["reason"], aside["field"]) == (3, reason, field)
    assert aside["byte"] == 2 * len(good) + 2
    assert line.startswith(aside["text"][:100].rstrip("\r"))
    assert manifest["reasons"] == {reason: 1}


BAD_CSV = [
    (avazu_line(hour="14102124"), "no date and time", "hour"),
    (avazu_line(hour="14023000"), "no date and time", "hour"),
    (avazu_line(hour="soon"), "no date and time", "hour"),
    (avazu_line(hour=""), "missing value", "hour"),
    (avazu_line(site='"a'), "quotation mark without its pair", None),
    (avazu_line(site='"a"b'), "quotation mark without its pair", None),
    (avazu_line(site="a" * 65), "value too long", "site_id"),
    (AVAZU, "no whole number in range", "click"),
]


@pytest.mark.parametrize(("line", "reason", "field"), BAD_CSV)
def test_so_is_one_between_commas(tmp_path, line, reason, field):
    _, (aside,), _ = imported(tmp_path, f"{AVAZU}\n{avazu_line()}\n{line}\n{avazu_line()}")

    assert (aside["line"], aside["reason"], aside["field"]) == (3, reason, field)


def test_a_quoted_field_may_hold_the_delimiter(tmp_path):
    line = avazu_line(site='"a,b"')

    rows, _, _ = imported(tmp_path, f"{AVAZU}\n{line}\n")

    assert rows[0]["site_id"] == "a,b"


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
@pytest.mark.parametrize("last", [True, False])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_endings_and_byte_order_marks_do_not_matter(tmp_path, ending, last, mark):
    content = mark + ending.join([criteo_line()] * 3) + (ending if last else "")

    rows, _, _ = imported(tmp_path, content)

    assert [row["C26"] for row in rows] == ["0a1b2c3d"] * 3


def test_what_is_not_utf_8_is_replaced_and_counted(tmp_path):
    line = avazu_line(site="abcdé").encode("latin-1")

    rows, _, manifest = imported(tmp_path, AVAZU.encode() + b"\n" + line + b"\n")

    assert rows[0]["site_id"] == "abcd\ufffd"
    assert manifest["lines_not_utf8"] == 1


def test_gzip_is_told_by_its_content_and_may_have_several_members(tmp_path):
    content = gzip.compress(criteo_line().encode() + b"\n") * 3 + b"\0" * 100

    rows, _, manifest = imported(tmp_path, content, name="log.txt")

    assert len(rows) == 3
    assert manifest["sources"][0]["sha256"] == hashlib.sha256(content).hexdigest()
    assert manifest["sources"][0]["complete"]


@pytest.mark.parametrize("share", [0.3, 0.9, 0.999])
def test_of_a_torn_archive_is_kept_what_could_be_read(tmp_path, share):
    lines = [criteo_line(n % 2, n, f"{n * 2_654_435_761 % (1 << 32):08x}") for n in range(3_000)]
    whole = gzip.compress("\n".join(lines).encode())

    rows, aside, manifest = imported(tmp_path, whole[: int(len(whole) * share)])

    assert 0 < len(rows) < 3_000
    assert rows[-1]["I1"] == len(rows) - 1
    assert manifest["sources"][0]["torn"] == "gzip ends too early"
    assert not manifest["sources"][0]["complete"]
    assert [one["reason"] for one in aside] in (
        [],
        ["cut off where the file ends too early"],
    )


def test_an_altered_archive_is_kept_up_to_the_damage(tmp_path):
    lines = [criteo_line(0, n, f"{n * 2_654_435_761 % (1 << 32):08x}") for n in range(3_000)]
    data = bytearray(gzip.compress("\n".join(lines).encode()))
    data[len(data) // 2] ^= 0xFF
    data[len(data) // 2 + 1] ^= 0xFF

    _, _, manifest = imported(tmp_path, bytes(data), Plan("criteo"))

    assert "gzip" in manifest["sources"][0]["torn"]


def test_blocks_row_groups_and_parts_change_nothing(tmp_path):
    lines = [criteo_line(n % 2, n) if n % 7 else f"bad {n}" for n in range(500)]
    content = "\n".join(lines)

    rows, aside, _ = imported(tmp_path, content)
    small = Plan(chunk=1_000, group_rows=50, part_rows=120)
    same, also_aside, manifest = imported(tmp_path, content, small)

    assert same == rows
    assert also_aside == aside
    sizes = [part["rows"] for part in manifest["parts"]]
    assert len(sizes) == 3
    assert all(120 <= size < 180 for size in sizes[:-1])


@pytest.mark.parametrize("chunk", [1_000, 70_000, 1 << 22])
def test_a_line_longer_than_any_block_is_one_bad_line(tmp_path, chunk):
    good = criteo_line()
    content = f"{good}\n{'x' * 300_000}\n{good}\n{'y' * 300_000}"

    rows, aside, _ = imported(tmp_path, content, Plan("criteo", chunk=chunk))

    assert len(rows) == 2
    assert [(one["line"], one["reason"]) for one in aside] == [
        (2, "line too long"),
        (4, "line too long"),
    ]
    assert aside[1]["byte"] == 2 * len(good) + 3 + 300_000
    assert aside[0]["text"] == "x" * 256


def test_a_limit_reads_that_many_lines(tmp_path):
    rows, _, manifest = imported(tmp_path, "\n".join([criteo_line()] * 50), Plan(limit=7))

    assert len(rows) == 7
    assert manifest["rows_in"] == 7


def test_several_files_become_one_table(tmp_path):
    (tmp_path / "days").mkdir()
    for day in range(3):
        (tmp_path / "days" / f"day_{day}").write_text(criteo_line(0, day) + "\nbad\n")

    manifest = import_log([tmp_path / "days"], tmp_path / "out")

    rows = pq.read_table(tmp_path / "out" / "part-00000.parquet").to_pylist()
    assert [row["I1"] for row in rows] == [0, 1, 2]
    assert manifest["quarantined"] == 3
    assert len(manifest["sources"]) == 3


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "is empty"),
        ("hello\nworld\n", "is in no known format"),
        ("PK\x03\x04", "zip archive"),
        ("BZh91AY", "bzip2"),
        ("\ufeff".encode("utf-16"), "UTF-16"),
        ("\t".join(["1"] * 39), "without the label"),
        (bytes(range(256)) * 50, "is in no known format"),
        (AVAZU.replace("click", "clock"), "heading of avazu without click"),
    ],
)
def test_a_file_that_is_no_log_is_refused_by_name(tmp_path, content, why):
    path = tmp_path / "log"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())

    with pytest.raises(ConfigError, match=why) as refusal:
        import_log([path], tmp_path / "out")

    assert str(path) in str(refusal.value)
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path):
    with pytest.raises(ConfigError, match=r"missing.*No such file"):
        import_log([tmp_path / "missing"], tmp_path / "out")


def test_files_of_different_formats_are_not_mixed(tmp_path):
    (tmp_path / "one").write_text(criteo_line())
    (tmp_path / "two").write_text(f"{AVAZU}\n{avazu_line()}")

    with pytest.raises(ConfigError, match="different formats"):
        import_log([tmp_path / "one", tmp_path / "two"], tmp_path / "out")


def test_a_second_import_leaves_nothing_of_the_first(tmp_path):
    imported(tmp_path, "\n".join([criteo_line()] * 40), Plan(group_rows=10, part_rows=10))

    rows, _, _ = imported(tmp_path, criteo_line())

    assert len(rows) == 1
    assert len(list((tmp_path / "out").glob("*.parquet"))) == 1
