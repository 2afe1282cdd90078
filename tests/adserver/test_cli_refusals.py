"""What is wrong with settings, arguments and files ends a command by name, without a traceback."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from adserver.cli import app

OWN_RULE = '[{"scope": "publisher", "max_share": 7}]'


def run(*arguments, **environment):
    return CliRunner().invoke(app, list(map(str, arguments)), env=environment)


def test_every_mistake_of_the_settings_is_told_whole():
    """Brackets too, which a terminal's markup would swallow."""
    refused = run("models", "list", PORT="0", FAIRNESS_RULES=OWN_RULE)

    assert refused.exit_code == 2
    assert "error: PORT: must be 1 to 65,535, not 0" in refused.stderr
    assert "FAIRNESS_RULES: fairness[publisher *].max_share" in refused.stderr


@pytest.mark.parametrize(
    "command",
    [
        ("calibrate", "--from"),
        ("train", "--labels"),
        ("models", "diff", 1, 1, "--slice"),
    ],
    ids=str,
)
@pytest.mark.parametrize("content", [None, b"", b"PK", b"no table"], ids=str)
def test_a_file_that_is_no_table_of_impressions_is_named(command, content, tmp_path):
    file = tmp_path / "labels.npz"
    if content is not None:
        file.write_bytes(content)

    refused = run(*command, file, ADSERVER_DATA=str(tmp_path))

    assert refused.exit_code == 2
    assert str(file) in refused.stderr.replace("\n", "")


def test_a_folder_without_a_run_is_not_exported(tmp_path):
    refused = run("export", "--run", tmp_path, "--incumbent", 0, ADSERVER_DATA=str(tmp_path))

    assert refused.exit_code == 2
    assert str(tmp_path) in refused.stderr.replace("\n", "")


def test_a_version_that_there_is_not_is_refused(tmp_path):
    refused = run("models", "show", 999, ADSERVER_DATA=str(tmp_path))

    assert refused.exit_code == 1
    assert "refused: there is no version 999" in refused.stderr
