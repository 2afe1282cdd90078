"""What a setting may be stands beside its field; what is not is named, all of it at once."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from adserver.environment import Between, OneOf, ReadBy, allowed, changed, values
from adserver.errors import ConfigError
from adserver.releases.limits import Limits
from adserver.settings import Settings, from_environment
from feedback.drift.settings import DriftSettings
from ranking.gate import GateSettings


@dataclass(frozen=True)
class Shop:
    doors: Annotated[int, Between(1, 4)] = 2
    light: Annotated[str, OneOf(("on", "off"))] = "on"
    hours: Annotated[str, ReadBy(bytes.fromhex)] = ""
    rent: float = 1.5
    cellar: Path = Path("cellar")


def test_variables_become_values_of_the_fields_types():
    mistakes: list[str] = []
    given = {"DOORS": "3", "LIGHT": "off", "HOURS": "0817", "RENT": "2", "CELLAR": "x", "BAR": "1"}

    found = values(Shop, given, mistakes)

    assert found == {"doors": 3, "light": "off", "hours": "0817", "rent": 2.0, "cellar": Path("x")}
    assert mistakes == []


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("DOORS", "many", "DOORS: must be a whole number, not 'many'"),
        ("DOORS", "", "DOORS: must be a whole number, not ''"),
        ("DOORS", "5", "DOORS: must be 1 to 4, not 5"),
        ("LIGHT", "dim", "LIGHT: must be one of on, off, not 'dim'"),
        ("HOURS", "late", "HOURS: non-hexadecimal number found"),
        ("RENT", "low", "RENT: must be a number, not 'low'"),
        ("CELLAR", "", "CELLAR: must be a path, not ''"),
    ],
)
def test_what_a_variable_cannot_be_is_told_and_left_out(name, text, told):
    mistakes: list[str] = []

    found = values(Shop, {name: text}, mistakes)

    assert found == {}
    assert len(mistakes) == 1
    assert mistakes[0].startswith(told)


def test_no_number_is_in_any_bounds_that_is_none():
    assert Between(0.0, 1.0).wrong(float("nan"))


@dataclass(frozen=True)
class Trip:
    days: int = 3
    pace: float = 1.0

    def problems(self) -> Iterator[str]:
        if self.days < 1:
            yield f"days ({self.days}) must be at least 1"


def test_a_json_object_changes_the_numbers_that_it_names():
    assert changed(Trip(), "") == changed(Trip(), "{}") == Trip()
    assert changed(Trip(), '{"pace": 2}') == Trip(pace=2)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"speed": 1}', "'speed' is unknown; known are days, pace"),
        ('{"pace": "high"}', "pace must be a number, not 'high'"),
        ('{"pace": true}', "pace must be a number, not True"),
        ('{"pace": null}', "pace must be a number, not None"),
        ('{"days": 1.5}', "days must be a whole number, not 1.5"),
        ('{"days": 0}', r"days \(0\) must be at least 1"),
        ('{"pace": NaN}', "malformed"),
        ("[]", "Expected `object`, got `array`"),
        ("{", "truncated"),
    ],
)
def test_the_first_mistake_of_a_json_object_is_told(text, told):
    with pytest.raises(ValueError, match=told):
        changed(Trip(), text)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("RELEASE_GATE", '{"flips": 2}', "flips must be 0 to 1, not 2"),
        ("RELEASE_LIMITS", '{"ratio": 0.5}', "ratio must be 1.01 to 1000, not 0.5"),
        ("DRIFT", '{"window_hours": 5}', "must divide a day"),
    ],
)
def test_the_limits_of_the_server_are_such_numbers(name, text, told):
    with pytest.raises(ConfigError, match=told) as refused:
        from_environment({name: text, "PORT": "0"})

    assert [mistake.partition(":")[0] for mistake in refused.value.mistakes] == ["PORT", name]
    assert [Limits(), GateSettings(), DriftSettings()] == [
        Settings().trial_limits,
        Settings().gate_limits,
        Settings().drift_rules,
    ]


def test_every_default_is_allowed():
    usual = Settings()
    for name, _, rules in allowed(Settings):
        assert [rule.wrong(getattr(usual, name)) for rule in rules] == [""] * len(rules), name
