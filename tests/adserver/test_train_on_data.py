"""`adserver train --data`: one command from a file to figures, or to a reason."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

sys.path.insert(0, str(Path(__file__).parents[1] / "feedback"))
from log_lines import TALKINGDATA, drawn_criteo, talkingdata_line

from adserver.cli import app


def train(path: Path, folder: Path):
    return CliRunner().invoke(app, ["train", "--data", str(path), "--folder", str(folder)])


def test_one_command_goes_from_a_raw_file_to_the_figures_of_four_methods(tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text(drawn_criteo(700, 1))

    done = train(log, tmp_path / "run")

    assert done.exit_code == 0, done.output
    about = json.loads((tmp_path / "run" / "metrics.json").read_text())
    methods = {one["method"]: one for one in about["methods"]}
    assert set(methods) == {"ranker", "network in full", "logistic regression", "LightGBM"}
    assert methods["ranker"]["auc"] >= methods["logistic regression"]["auc"] > 0.5
    assert about["rows"]["test"] == 140
    assert all(one["load"] <= 0.5 for one in about["vocabulary"])


def test_what_was_imported_before_is_not_imported_again(tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text(drawn_criteo(400, 2))
    assert train(log, tmp_path / "run").exit_code == 0

    again = train(tmp_path / "run" / "data", tmp_path / "other")

    assert again.exit_code == 0
    assert not (tmp_path / "other" / "data").exists()
    one, two = (json.loads((tmp_path / n / "metrics.json").read_text()) for n in ("run", "other"))
    assert one == two


def clicks_at(*clicked: int, rows: int) -> str:
    times = (f"2017-11-07 {n // 3600:02}:{n // 60 % 60:02}:{n % 60:02}" for n in range(rows))
    lines = [talkingdata_line(int(n in clicked), time) for n, time in enumerate(times)]
    return "\n".join([TALKINGDATA, *lines]) + "\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        (TALKINGDATA + "\n", "no rows"),
        (clicks_at(3, rows=10), "10 rows: at least 50 are needed"),
        (clicks_at(rows=200), "train: 0 of 120 rows are clicked"),
        (clicks_at(3, 9, rows=200), "validation: 0 of 40 rows are clicked"),
        (clicks_at(*range(200), rows=200), "train: 120 of 120 rows are clicked"),
    ],
)
def test_what_cannot_be_learnt_from_is_refused_with_the_reason(tmp_path, text, reason):
    log = tmp_path / "log.csv"
    log.write_text(text)

    refused = train(log, tmp_path / "run")

    assert refused.exit_code == 2
    assert reason in " ".join(refused.output.split())
    assert "Traceback" not in refused.output


def test_a_part_cut_short_is_refused_without_a_traceback(tmp_path):
    log = tmp_path / "log.tsv"
    log.write_text(drawn_criteo(200, 2))
    CliRunner().invoke(app, ["data", "import", "auto", str(log), "--out", str(tmp_path / "data")])
    part = next((tmp_path / "data").glob("part-*"))
    part.write_bytes(part.read_bytes()[:-100])

    refused = train(tmp_path / "data", tmp_path / "run")

    assert refused.exit_code == 2
    assert "error:" in refused.output


def test_few_clicks_are_said_beside_the_figures(tmp_path):
    log = tmp_path / "log.csv"
    log.write_text(clicks_at(*range(0, 300, 11), rows=300))

    done = train(log, tmp_path / "run")

    assert done.exit_code == 0, done.output
    assert "clicks in the test: read the intervals" in done.output
