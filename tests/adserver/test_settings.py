"""Settings: read once, every mistake told at once, documented where operators look."""

from __future__ import annotations

from pathlib import Path

import pytest

from adserver.errors import ConfigError
from adserver.settings import Settings, from_environment
from adserver.settings_page import table

OPERATIONS = Path(__file__).parents[2] / "docs" / "operations.md"


def test_an_empty_environment_gives_the_defaults():
    assert from_environment({}) == Settings()


def test_variables_override_and_have_the_fields_type():
    settings = from_environment({"PORT": "9000", "ADSERVER_DATA": "elsewhere", "SCORER": "local"})

    assert (settings.port, settings.adserver_data, settings.scorer) == (
        9000,
        Path("elsewhere"),
        "local",
    )


def test_every_mistake_is_told_at_once():
    environment = {"PORT": "many", "WORKERS": "0", "SCORER": "abacus", "FEWEST_CANDIDATES": "300"}

    with pytest.raises(ConfigError) as error:
        from_environment(environment)

    told = " ".join(error.value.mistakes)
    assert all(name in told for name in environment)


def test_no_secret_ships_as_a_default():
    assert Settings().adserver_token_key == ""


def test_the_operations_page_has_the_settings_as_they_are():
    assert table() in OPERATIONS.read_text()
