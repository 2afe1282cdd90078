"""A campaign replayed against a log's market, from the file to the figures."""

from __future__ import annotations

import csv

import numpy as np
import pytest
from typer.testing import CliRunner

from adserver.cli import app
from feedback.replay.campaign import TICK, Pacing
from feedback.replay.ipinyou import Setup, replay, sheet


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A second-price log with heavy-tailed prices, and click rates that prices do not follow."""
    rng, n = np.random.default_rng(1), 30_000
    price = np.clip(np.exp(rng.normal(4.0, 1.0, n)), 1, 3_000).astype(int)
    rate = np.minimum(1, np.exp(rng.normal(-7.0, 1.0, n)))
    click = rng.random(n) < rate
    path = tmp_path_factory.mktemp("log") / "log.txt"
    lines = zip(click, price, rate, strict=True)
    path.write_text("".join(f"{int(c)}\t{p}\t{r:.8f}\n" for c, p, r in lines))
    return path


@pytest.fixture(scope="module")
def found(log):
    return {one.name: one for one in replay([log], Setup()).results}


def test_no_way_of_pacing_spends_more_than_the_budget(found):
    budget = found["dual"].budget_micros

    assert budget == round(0.5 * found["unlimited"].spent_micros)
    for pacing in Pacing:
        assert 0.97 * budget <= found[pacing].spent_micros <= budget


def test_paced_bids_buy_half_as_much_again_as_throttling_or_none(found):
    assert found["dual"].value_micros >= 1.5 * found["throttle"].value_micros
    assert found["dual"].value_micros >= 1.5 * found["none"].value_micros


def test_paced_money_lasts_and_unpaced_money_does_not(found):
    assert found["none"].ended_at < 0.6
    assert found["dual"].ended_at is None or found["dual"].ended_at > 0.95
    assert found["dual"].deviation < 0.02
    assert found["none"].deviation > 0.1


def test_the_unlimited_campaign_wins_what_is_worth_its_price_and_pays_that(log):
    """The auction is the oracle's one-liner here: value above price, at the price."""
    rows = np.loadtxt(log)
    worth = replay([log], Setup(pacings=())).results[0]
    rate = np.maximum(1, np.round(rows[:, 2] * 1e6)).astype(int)
    click_micros = round(80 * 10 * 1e6 / (rate.sum() // len(rate)))
    value = click_micros * rate // 1_000_000

    surely = value > rows[:, 1] * 10
    ties = value == rows[:, 1] * 10

    assert surely.sum() <= worth.won <= (surely | ties).sum()
    assert worth.spent_micros == pytest.approx((rows[surely, 1] * 10).sum(), rel=1e-3)
    assert worth.value_micros == pytest.approx(value[surely].sum(), rel=1e-3)


def test_at_first_price_truth_keeps_nothing(log):
    result = replay([log], Setup(first_price=True, pacings=())).results[0]

    assert result.surplus_micros == 0
    assert result.won > 0


def test_a_log_without_predictions_is_bid_on_at_one_value(tmp_path):
    path = tmp_path / "log.yzx.txt"
    path.write_text("".join(f"{int(n % 50 == 0)} {n % 160} 3:1 9:1\n" for n in range(10 * TICK)))

    found = replay([path], Setup(pacings=()))

    assert found.survey.usual_ppm == pytest.approx(20_000, rel=0.05)
    assert found.results[0].won == pytest.approx(5 * TICK, abs=TICK)


def test_the_sheet_names_what_was_left_out(tmp_path):
    path = tmp_path / "log.txt"
    path.write_text("no header\n" + "0 5 0.1\n" * 100)

    shown = sheet(replay([path], Setup()))

    assert len(shown.rows) == 1 + len(Pacing)
    assert {len(row) for row in shown.rows} == {len(shown.head)}
    assert "1 lines left out" in shown.notes[-1]
    assert "log.txt:1" in shown.notes[-1]


def test_one_command_replays_a_log_into_table_csv_and_page(log, tmp_path):
    table, page = tmp_path / "out.csv", tmp_path / "out.html"

    done = CliRunner().invoke(
        app,
        ["simulate", "ipinyou", str(log), "--pacing=dual", f"--csv={table}", f"--html={page}"],
    )

    assert done.exit_code == 0, done.output
    assert "dual" in done.output
    rows = list(csv.reader(table.read_text().splitlines()))
    assert [row[1] for row in rows] == ["pacing", "unlimited", "dual"]
    assert "<table>" in page.read_text()


def test_a_file_of_another_kind_is_refused_in_words(tmp_path):
    path = tmp_path / "other.txt"
    path.write_text("this is\nnot a log\n")

    done = CliRunner().invoke(app, ["simulate", "ipinyou", str(path)])

    assert done.exit_code == 2
    assert isinstance(done.exception, SystemExit)
    assert "no line could be understood" in done.output
