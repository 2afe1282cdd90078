"""`adserver data import` from the command line."""

from __future__ import annotations

import gzip

from typer.testing import CliRunner

from adserver.cli import app

LINE = "\t".join(["1"] + ["3"] * 13 + ["0a1b2c3d"] * 26)


def ran(*arguments):
    result = CliRunner().invoke(app, [str(one) for one in ("data", "import", *arguments)])
    return result.exit_code, result.output


def test_a_log_is_imported_and_told_about(tmp_path):
    log = tmp_path / "train.txt"
    log.write_bytes(gzip.compress(f"{LINE}\nbad\n{LINE}\n".encode()))

    code, output = ran("auto", log, "--out", tmp_path / "out")

    assert code == 0
    assert "criteo, 2 rows of 3 lines, 2 clicks (100.000%)" in output
    assert "quarantine.jsonl: 1 of 3 lines (1 wrong number of fields)" in output
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "manifest.json",
        "part-00000.parquet",
        "quarantine.jsonl",
    ]


def test_an_unknown_log_or_format_or_file_exits_with_2_and_its_name(tmp_path):
    log = tmp_path / "notes.txt"
    log.write_text("dear diary\n")

    for format, path in (("auto", log), ("criteo", log), ("csv", log), ("auto", tmp_path / "no")):
        code, output = ran(format, path, "--out", tmp_path / "out")

        assert code == 2
        assert (format if format == "csv" else path.name) in output


def test_a_torn_archive_says_so(tmp_path):
    log = tmp_path / "train.gz"
    log.write_bytes(gzip.compress(f"{LINE}\n".encode() * 2_000)[:-20])

    code, output = ran("criteo", log, "--out", tmp_path / "out")

    assert code == 0
    assert "read in part: gzip ends too early" in output.replace("\n", " ")
