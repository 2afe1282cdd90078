"""A server's own files looked at for drift, and what is kept of it."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from drift_site import HOUR_MS, write_site
from drifting import MONDAY_MS, USUAL, Scene
from model_variants import repository_at
from typer.testing import CliRunner

from adserver.cli import app
from adserver.drift.files import DriftFiles
from adserver.drift.hourly import ALARMED
from adserver.drift.watch import FIRST_MS, Span, look, looked_at
from adserver.settings import Settings
from feedback.compaction import compact
from feedback.drift.render import drift_html
from feedback.drift.retrain import Action, Cause

OTHER = Scene(devices=(0.2, 0.7, 0.1), countries=3)
LATER_MS = HOUR_MS
"""After the last hour its clicks may still come."""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Two days to compare with, a quiet one, and six hours of another world."""
    folder = tmp_path_factory.mktemp("site")
    end_ms = write_site(folder, [(72, USUAL), (6, OTHER)])
    compact(folder / "events", folder / "warehouse")
    return folder, end_ms, repository_at(folder / "models")


@pytest.fixture
def settings(site):
    folder, _, repository = site
    for old in (folder / "drift").glob("*"):
        old.unlink()
    return Settings(adserver_data=folder, model_repository=repository, retrain_max_age_h=1000)


def test_a_quiet_day_asks_for_nothing_and_another_world_for_a_training(settings, site):
    _, end_ms, _ = site

    quiet = look(settings, end_ms - 6 * HOUR_MS + LATER_MS)
    other = look(settings, end_ms + LATER_MS)

    assert quiet.reference.startswith("its first two days")
    assert (quiet.alarm, quiet.due, quiet.figures.windows) == (False, None, 24)
    assert {"device", "country"} <= set(other.alarms)
    assert (other.due.action, other.due.cause) == (Action.RETRAIN, Cause.FEATURES)


def test_hours_seen_one_by_one_are_judged_like_those_seen_at_once(settings, site):
    _, end_ms, _ = site
    for back in range(12, -1, -3):
        by_hours = look(settings, end_ms - back * HOUR_MS + LATER_MS)

    for one in settings.drift_folder.glob("observed-*"):
        one.unlink()
    at_once = look(settings, end_ms + LATER_MS)

    one, other = by_hours.figures, at_once.figures
    assert (one.features, one.windows) == (other.features, other.windows)
    assert one.calibration == other.calibration
    assert one.vectors.distance == pytest.approx(other.vectors.distance)


def test_what_is_due_is_kept_with_its_beginning_until_it_is_done(settings, site):
    _, end_ms, _ = site
    files = DriftFiles(settings.drift_folder)
    first = look(settings, end_ms + LATER_MS)
    look(settings, end_ms + 2 * LATER_MS)

    assert files.due().since_ms == first.at_ms
    assert files.findings().at_ms == first.at_ms + LATER_MS

    files.keep(msgspec.structs.replace(first, due=None))

    assert files.due() is None


def test_age_alone_asks_for_a_training_and_a_recent_one_holds_it_back(settings, site):
    _, end_ms, _ = site
    quiet_ms = end_ms - 6 * HOUR_MS + LATER_MS

    aged = look(replace(settings, retrain_max_age_h=24), quiet_ms)

    assert (aged.due.action, aged.due.cause) == (Action.RETRAIN, Cause.AGE)
    assert not aged.alarm


def test_hours_counted_against_another_reference_are_counted_anew(settings, site):
    _, end_ms, _ = site
    files = DriftFiles(settings.drift_folder)
    look(settings, end_ms + LATER_MS)
    (old,) = settings.drift_folder.glob("reference-*")
    kept = files.observed(1)
    files.keep_observed(1, replace(kept, against="another", hours=None))

    found = look(settings, end_ms + LATER_MS)

    assert old.exists()
    assert found.figures.windows == 30


@pytest.mark.parametrize("content", [b"", b"PK torn", None])
def test_files_that_are_torn_or_of_another_program_are_made_again(settings, site, content):
    _, end_ms, _ = site
    first = look(settings, end_ms + LATER_MS)
    for one in settings.drift_folder.glob("*.npz"):
        if content is None:
            np.savez(one, of=np.zeros(1))
        else:
            one.write_bytes(content)

    again = look(settings, end_ms + LATER_MS)

    assert (again.alarms, again.figures.windows) == (first.alarms, first.figures.windows)


def test_before_two_days_there_is_nothing_to_compare_with(settings):
    found = look(settings, MONDAY_MS + FIRST_MS)

    assert found.figures is None
    assert "nothing" in found.note or "no day" in found.note
    assert not found.alarm


def test_any_span_is_compared_with_any_other_and_nothing_is_kept(settings, site):
    _, end_ms, _ = site
    days = Span(MONDAY_MS, MONDAY_MS + FIRST_MS)

    found = looked_at(settings, days, Span(end_ms - 6 * HOUR_MS, end_ms), end_ms + LATER_MS)

    assert "device" in found.alarms
    assert not list(settings.drift_folder.glob("*"))


def test_the_command_ends_in_1_while_an_alarm_stands(settings, site, tmp_path):
    environment = {
        "ADSERVER_DATA": str(settings.adserver_data),
        "MODEL_REPOSITORY": str(settings.model_repository),
    }
    spans = ["--reference-since", "2026-11-02", "--reference-until", "2026-11-04"]
    quiet = ["--since", "2026-11-04", "--until", "2026-11-05"]
    other = ["--since", "2026-11-04", "--until", "2026-11-05T06:00"]
    out = tmp_path / "found.json"

    calm = CliRunner().invoke(app, ["drift", *spans, *quiet], env=environment)
    wild = CliRunner().invoke(app, ["drift", *spans, *other, "--out", str(out)], env=environment)

    assert (calm.exit_code, wild.exit_code) == (0, ALARMED)
    assert "nothing is due" in calm.stdout or "retrain" in calm.stdout
    assert "drifted" in wild.stdout
    assert "device" in msgspec.json.decode(out.read_bytes())["alarms"]


def test_the_report_page_shows_what_was_found(settings, site):
    _, end_ms, _ = site
    found = look(settings, end_ms + LATER_MS)

    page = drift_html(found.figures, found.alarms, found.due)

    assert "drifted, 6 in a row" in page
    assert "[red]" not in page
    assert found.due.reason in page
