import csv
from html.parser import HTMLParser
from io import StringIO
from xml.etree import ElementTree

import pytest
from rich.console import Console
from synthetic import day, write

from feedback import fairness_plots, plots
from feedback.compaction import compact
from feedback.fairness import fairness
from feedback.fairness_page import fairness_csv, fairness_table
from feedback.render import (
    ctr_csv,
    ctr_table,
    page,
)
from feedback.reports import ctr
from feedback.warehouse import connect

NAMES = {1: "<script>alert(1)</script>", 2: "=SUM(A1)", 3: "Lumen $olar $ystems"}


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    folder = tmp_path_factory.mktemp("render")
    write(day(300, seed=5), folder / "log" / "w0-1.log")
    compact(folder / "log", folder / "warehouse")
    with connect(folder / "warehouse") as connection:
        yield connection


@pytest.fixture(scope="module")
def by_advertiser(connection):
    return ctr(connection, "advertiser", names={"advertiser": NAMES})


@pytest.fixture(scope="module")
def shares(connection):
    return fairness(connection, names=NAMES)


def printed(table):
    console = Console(width=200, file=StringIO())
    console.print(table)
    return console.file.getvalue()


def test_a_terminal_shows_the_rows_the_total_and_why_slots_stayed_empty(by_advertiser):
    text = printed(ctr_table(by_advertiser, most=3))

    assert "Lumen $olar $ystems" in text
    assert f"… {len(by_advertiser.rows) - 3} more" in text
    assert f"{by_advertiser.total.decisions:,}" in text
    assert "BELOW_FLOOR" in text


def test_a_terminal_shows_the_measures_of_fairness(shares):
    text = printed(fairness_table(shares, most=3))

    assert "Gini" in text
    assert "cost of fairness" in text


def test_csv_keeps_every_micro_and_adds_up(by_advertiser):
    rows = list(csv.DictReader(StringIO(ctr_csv(by_advertiser))))

    assert sum(int(row["spend_micros"]) for row in rows) == by_advertiser.total.spend_micros
    for row in rows:
        empty = sum(int(value) for name, value in row.items() if name.startswith("no_fill_"))
        assert int(row["decisions"]) == int(row["fills"]) + empty


def test_csv_holds_no_formulas(by_advertiser, shares):
    assert "'=SUM(A1)" in ctr_csv(by_advertiser)
    assert "'=SUM(A1)" in fairness_csv(shares)


class Page(HTMLParser):
    """Which tags open, and which never close."""

    VOID = frozenset({"meta", "link", "br", "img"})

    def __init__(self):
        super().__init__()
        self.seen, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.seen.append((tag, dict(attrs)))


def test_the_page_is_one_whole_file_with_every_plot_and_no_script(
    connection, by_advertiser, shares
):
    parser = Page()

    parser.feed(
        page([ctr(connection, "hour"), by_advertiser, ctr(connection, "placement")], shares)
    )

    tags = [tag for tag, _ in parser.seen]
    assert parser.open == []
    assert tags.count("svg") == 5
    assert "script" not in tags
    assert not [a for t, a in parser.seen if t in {"img", "link"} or "src" in a]


def test_the_page_of_an_empty_log_says_so_without_plots(tmp_path):
    with connect(tmp_path) as nothing:
        html = page([ctr(nothing, "hour"), ctr(nothing, "advertiser")], fairness(nothing))

    assert "no data yet" in html
    assert "<svg" not in html


def test_plots_take_their_colours_from_the_page(by_advertiser, shares):
    for svg in (plots.spend_by(by_advertiser), fairness_plots.lorenz_curve(shares)):
        ElementTree.fromstring(svg)
        assert "var(--first)" in svg
        assert "currentColor" in svg
        assert "#070809" not in svg


def test_the_same_figures_make_the_same_picture(shares):
    assert fairness_plots.concentration(shares) == fairness_plots.concentration(shares)
