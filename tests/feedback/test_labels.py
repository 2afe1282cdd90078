import numpy as np
import pytest
from logged_rows import Site
from numpy.testing import assert_array_equal
from synthetic import MIDNIGHT_MS as T0
from typer.testing import CliRunner

from adserver.cli import app
from adserver.records import DAY_MS, Filter
from feedback.labels.build import labelled
from feedback.labels.settings import Form, LabelSettings, Window
from ranking.dataset import Impressions

DAY = Window(T0, T0 + DAY_MS)
SETTINGS = LabelSettings()


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def test_a_shown_ad_is_a_label_and_a_click_within_the_window_makes_it_positive(site):
    site.decide(1, T0 + 5, slots=3)
    for slot in range(3):
        site.show(1, T0 + 100, slot)
    site.click(1, T0 + 100 + 600_000, slot=1)
    site.click(1, T0 + 100 + 600_001, slot=2)

    found, statistics = site.labels(DAY, SETTINGS)

    assert_array_equal(found.impressions.click, [0, 1, 0])
    assert (statistics.positives, statistics.late) == (1, 1)


def test_the_features_are_those_that_were_logged(site):
    site.decide(9, T0 + 5, slots=2, person=77)
    site.show(9, T0 + 100, 0)
    site.show(9, T0 + 100, 1)

    table = site.labels(DAY, SETTINGS)[0].impressions

    assert table.request[0, -1] == 77
    assert_array_equal(table.catalogue[table.ad][:, 0], [1, 2])
    assert_array_equal(table.counts[:, 0], [0, 1])
    assert_array_equal(table.slot, [[1, 2, 3]] * 2)
    assert_array_equal(table.weight, [1, 1])
    assert_array_equal(table.time_ms, [T0 + 5] * 2)


def test_labels_come_in_the_order_of_time_with_the_rows_of_a_request_together(site):
    for decision, t in ((5, 900), (3, 100), (4, 500)):
        site.decide(decision, T0 + t, slots=2)
        site.show(decision, T0 + 1000, 1)
        site.show(decision, T0 + 2000, 0)

    found = site.labels(DAY, SETTINGS)[0]

    assert_array_equal(found.decision, [3, 3, 4, 4, 5, 5])
    assert_array_equal(found.impressions.of, [0, 0, 1, 1, 2, 2])
    assert len(found.impressions.request) == 3


def test_a_conversion_counts_within_its_own_window_after_the_click(site):
    day_s = DAY_MS // 1000
    for decision, later_s in ((1, day_s), (2, 7 * day_s), (3, 7 * day_s + 1)):
        site.decide(decision, T0)
        site.show(decision, T0)
        site.click(decision, T0 + 1000)
        site.convert(decision, T0 + 1000 + later_s * 1000)

    found, statistics = site.labels(DAY, SETTINGS)

    assert_array_equal(found.conversion, [1, 1, 0])
    assert statistics.conversions == 2


def crooked(site):
    """One decision for every reason to leave a row out, by its name; and one that is kept."""
    site.decide(1, T0)
    site.show(1, T0)
    site.decide(2, T0)
    site.decide(2, T0)  # REPEATED_ROW
    site.show(2, T0)
    site.decide(3, T0, quality=2)  # DEGRADED
    site.show(3, T0)
    site.decide(4, T0)  # TEST
    site.show(4, T0, test=True)
    site.decide(5, T0)  # NOT_SHOWN
    site.decide(6, T0)  # NOT_COUNTED
    site.show(6, T0 + 700_000, code=Filter.EXPIRED)
    for decision in range(100, 211):  # ROBOT: eleven clicks in a minute, a tenth of what it saw
        site.decide(decision, T0, person=13)
        site.show(decision, T0)
    for decision in range(100, 111):
        site.click(decision, T0 + 5000)
    for decision in range(300, 399):  # ROBOT: one click in ten minutes, but a tenth of what it saw
        site.decide(decision, T0 + decision * 60_000, person=14)
        site.show(decision, T0 + decision * 60_000)
        if decision % 10 == 0:
            site.click(decision, T0 + decision * 60_000 + 5000)
    site.decide(7, T0)  # FLOODED
    site.show(7, T0)
    site.click(7, T0 + 4000)
    for _ in range(5):
        site.click(7, T0 + 5000, code=Filter.DUPLICATE)
    site.decide(8, T0)  # BLIND_CLICK
    site.click(8, T0 + 4000, code=Filter.NO_PRIOR_IMP)
    site.show(8, T0 + 5000)
    site.decide(9, T0)  # FAST_CLICK
    site.show(9, T0 + 1000)
    site.click(9, T0 + 1299)
    site.decide(10, T0 + DAY_MS - 10)  # OPEN
    site.show(10, T0 + DAY_MS - 10)


def test_every_row_is_kept_or_left_out_for_one_reason(site):
    crooked(site)

    found, statistics = site.labels(Window(T0, T0 + DAY_MS, now_ms=T0 + DAY_MS), SETTINGS)

    assert statistics.excluded == {
        "REPEATED_ROW": 1, "DEGRADED": 1, "TEST": 1, "NOT_SHOWN": 1, "NOT_COUNTED": 1, "ROBOT": 210,
        "FLOODED": 1, "BLIND_CLICK": 1, "FAST_CLICK": 1, "OPEN": 1,
    }  # fmt: skip
    assert statistics.rows == statistics.kept + statistics.excluded.total()
    assert_array_equal(found.decision, [1, 2])


def test_a_person_within_the_bounds_is_no_robot_and_nobody_is_no_person(site):
    for decision, person in [(n, 13) for n in range(1, 101)] + [(n, 0) for n in range(200, 220)]:
        site.decide(decision, T0, person=person)
        site.show(decision, T0)
        if decision <= 10 or person == 0:
            site.click(decision, T0 + 5000)

    statistics = site.labels(DAY, SETTINGS)[1]

    assert statistics.kept == 120


def test_a_repeated_click_is_counted_and_changes_nothing(site):
    site.decide(1, T0)
    site.show(1, T0)
    site.click(1, T0 + 2000)
    site.click(1, T0 + 3000, code=Filter.DUPLICATE)
    site.click(77, T0 + 3000)

    found, statistics = site.labels(DAY, SETTINGS)

    assert_array_equal(found.impressions.click, [1])
    assert statistics.events["click DUPLICATE"] == 1
    assert statistics.events["click of no row"] == 1


def test_a_window_ends_at_its_until_and_days_are_joined_as_one(site):
    for decision, t in enumerate((-1, 0, DAY_MS - 1, DAY_MS, 2 * DAY_MS - 1, 2 * DAY_MS), 1):
        site.decide(decision, T0 + t)
        site.show(decision, T0 + t)

    found, statistics = site.labels(Window(T0, T0 + 2 * DAY_MS), SETTINGS)

    assert_array_equal(found.decision, [2, 3, 4, 5])
    assert statistics.rows == 4


def test_a_stream_repeats_a_clicked_impression_at_the_moment_of_its_click(site):
    site.decide(1, T0)
    site.show(1, T0)
    site.click(1, T0 + 8000)
    site.decide(2, T0 + 5000)
    site.show(2, T0 + 5000)

    table = site.labels(DAY, LabelSettings(form=Form.STREAM))[0].impressions

    assert_array_equal(table.click, [0, 0, 1])
    assert_array_equal(table.time_ms, [T0, T0 + 5000, T0 + 8000])
    assert_array_equal(table.of, [0, 1, 2])


def test_streams_of_windows_end_to_end_hold_each_impression_and_each_click_once(site):
    middle = T0 + DAY_MS
    for decision, t in ((1, middle - 1000), (2, middle - 1000), (3, middle + 1000)):
        site.decide(decision, t)
        site.show(decision, t)
    site.click(1, middle - 500)
    site.click(2, middle + 500)
    site.click(3, middle + 2000)
    stream = LabelSettings(form=Form.STREAM)

    before = site.labels(Window(T0, middle, now_ms=middle), stream)[0]
    after = labels_again(site, Window(middle, T0 + 2 * DAY_MS), stream)

    assert_array_equal(before.impressions.click, [0, 0, 1])
    assert_array_equal(after.click, [1, 0, 1])


def labels_again(site, window, settings):
    return labelled(site.folder / "warehouse", site.folder / "features", window, settings)


def test_nothing_logged_gives_no_labels(site):
    site.decide(1, T0)

    found, statistics = site.labels(Window(T0 + DAY_MS, T0 + 2 * DAY_MS), SETTINGS)

    assert len(found.impressions) == len(found.impressions.request) == 0
    assert found.impressions.counts.shape[1] > 0
    assert statistics.rows == 0


def test_an_empty_window_gives_no_labels(site):
    site.decide(1, T0)
    site.show(1, T0)

    assert len(site.labels(Window(T0, T0), SETTINGS)[0].impressions) == 0


def test_settings_out_of_bounds_are_named():
    wrong = LabelSettings(click_window_s=0, fastest_click_ms=-1, suspect_rate=0)

    assert len(list(wrong.problems())) == 3
    assert list(SETTINGS.problems()) == []


def test_the_share_of_later_clicks_falls_with_the_delay(site):
    for decision, delay_s in enumerate((2, 20, 200, 2000), 1):
        site.decide(decision, T0)
        site.show(decision, T0)
        site.click(decision, T0 + delay_s * 1000)

    statistics = site.labels(DAY, SETTINGS)[1]

    shares = dict(zip((1, 3, 10, 30, 60, 120, 300, 600), statistics.late_share, strict=False))
    assert shares == {1: 1, 3: 0.75, 10: 0.75, 30: 0.5, 60: 0.5, 120: 0.5, 300: 0.25, 600: 0.25}
    assert np.all(np.diff(statistics.late_share) <= 0)


def test_the_command_writes_the_table_and_prints_every_reason(site, monkeypatch):
    crooked(site)
    site.save()
    monkeypatch.setenv("ADSERVER_DATA", str(site.folder))
    out = site.folder / "labels.npz"
    span = ["--since=2026-11-01", "--until=2026-11-02T00:00", f"--out={out}"]

    done = CliRunner().invoke(app, ["labels", "build", *span])

    assert done.exit_code == 0, done.output
    assert "left out: ROBOT" in done.output
    assert len(Impressions.load(out)) == 3  # nothing is open any more, long after


def test_a_moment_that_is_none_is_refused_by_the_name_of_its_option(tmp_path, monkeypatch):
    monkeypatch.setenv("ADSERVER_DATA", str(tmp_path))

    done = CliRunner().invoke(app, ["labels", "build", "--since=yesterday"])

    assert done.exit_code == 2
    assert "--since" in done.output
