import numpy as np
import pytest
from logged_rows import Site
from synthetic import MIDNIGHT_MS as T0
from typer.testing import CliRunner

from adserver.cli import app
from adserver.records import DAY_MS
from feedback.experiments.reading import users
from feedback.experiments.report import read_out
from feedback.reports import Span

NOW, PAST = Span(T0, T0 + DAY_MS), Span(T0 - DAY_MS, T0)


@pytest.fixture
def site(tmp_path):
    return Site(tmp_path)


def visit(site, decision, t, person, arm, clicked=False, micros=0):
    site.decide(decision, t, person=person, arm=arm)
    site.show(decision, t, billed_micros=micros)
    if clicked:
        site.click(decision, t + 5000)


def populated(site, per_arm=(60, 60)):
    """People with two impressions each, before and now; the treated click twice as often."""
    rng, decision = np.random.default_rng(1), 0
    for arm, (name, count) in enumerate(zip(("production", "canary"), per_arm, strict=True)):
        for number in range(count):
            for t in (T0 - DAY_MS // 2, T0 + 1000, T0 + 2000):
                decision += 1
                clicked = rng.random() < 0.2 * (1 + arm)
                visit(site, decision, t, 1000 * (arm + 1) + number, name, clicked, 2000)
    site.save()


def read(site):
    return users(site.folder / "warehouse", site.folder / "features", NOW, PAST)


def test_users_are_counted_by_arm_with_what_they_did_before(site):
    visit(site, 1, T0 - 5000, 7, "production", clicked=True, micros=300)
    visit(site, 2, T0 + 5000, 7, "canary", micros=500)
    visit(site, 3, T0 + 9000, 7, "canary", clicked=True, micros=200)
    visit(site, 4, T0 + 9000, 8, "production")
    visit(site, 5, T0 + 9000, 0, "production")  # nobody
    site.save()

    found = read(site)

    assert found.arms == ("canary", "production")
    assert found.arm.tolist() == [0, 1]
    assert found.shown.tolist() == [2, 1]
    assert found.clicked.tolist() == [1, 0]
    assert found.micros.tolist() == [700, 0]
    assert found.before.tolist() == [[1, 1, 300], [0, 0, 0]]


def test_the_read_out_names_the_effect_of_each_metric(site):
    populated(site)

    found = read_out(read(site), "production", {"production": 0.5, "canary": 0.5})

    assert not found.blocked
    clicks, revenue = found.effects["CTR", "canary"], found.effects["RPM, $", "canary"]
    assert clicks.difference > 0.1
    assert clicks.chance < 0.01
    assert revenue.control == pytest.approx(2.0)  # 2,000 micros an impression
    assert revenue.difference == pytest.approx(0, abs=1e-9)
    assert found.needed["CTR", "canary"] > 1000


def test_arms_of_the_wrong_size_block_the_read_out(site):
    populated(site, per_arm=(90, 30))

    found = read_out(read(site), "production", {"production": 0.5, "canary": 0.5})

    assert found.chance < 0.001
    assert "sizes" in found.blocked
    assert found.effects == {}


def test_people_who_share_rows_of_the_table_are_still_counted():
    """A hundred thousand people in 65,536 rows occupy 78 % of them."""
    from feedback.experiments.reading import ROWS, Users

    rows = len(np.unique(np.random.default_rng(2).integers(0, ROWS, 100_000)))
    none = np.zeros(rows)
    found = Users(("a",), none.astype(np.int8), none, none, none, np.zeros((rows, 3)))

    assert found.people()[0] == pytest.approx(100_000, rel=0.01)


def test_an_experiment_without_its_control_is_not_read_off(site):
    visit(site, 1, T0, 7, "canary")
    site.save()

    assert "production" in read_out(read(site), "production", {"canary": 1.0}).blocked
    assert read_out(read(site), "production", {}).effects == {}


def test_the_command_prints_the_effects_and_fails_where_it_is_blocked(site, monkeypatch):
    populated(site)
    monkeypatch.setenv("ADSERVER_DATA", str(site.folder))
    command = ["experiment", "report", "--since=2026-11-01", "--until=2026-11-02"]

    done = CliRunner().invoke(app, command)
    blocked = CliRunner().invoke(app, [*command, "--share=production=0.9", "--share=canary=0.1"])
    wrong = CliRunner().invoke(app, [*command, "--share=canary=2"])

    assert done.exit_code == 0, done.output
    assert "CTR" in done.output
    assert blocked.exit_code == 1
    assert wrong.exit_code == 2
