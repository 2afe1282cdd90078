"""The dependency rules of docs/architecture.md, held against the sources themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "adserver": {"retrieval", "ranking", "auction", "feedback", "simulator"},
    "feedback": {"retrieval", "ranking", "auction", "adserver"},
    "retrieval": set(),
    "auction": set(),
    "simulator": set(),
    "ranking": set(),
    "loadtest": {"simulator"},
}
SIMULATOR_USERS = {
    "adserver/driving/",  # plays simulated markets against the server
    "adserver/loop/",
    "adserver/simulated.py",  # markets to try a change on where there is no log yet
    "adserver/catalogue/sample.py",
    "adserver/training.py",
}
CLOCKS = {"time", "datetime.now", "random"}
MAY_READ_CLOCK = {"adserver/deadline.py", "adserver/app.py"}
SOURCES = sorted(
    path.relative_to(ROOT) for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py")
)


def imported_modules(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def imported_roots(path: Path) -> set[str]:
    return {module.partition(".")[0] for module in imported_modules(path)}


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_packages_depend_in_one_direction(path):
    own = path.parts[0]

    strays = imported_roots(path) & set(MAY_IMPORT) - MAY_IMPORT[own] - {own}

    assert not strays


@pytest.mark.parametrize("path", SOURCES, ids=str)
def test_only_training_and_the_sample_catalogue_know_the_simulator(path):
    if path.parts[0] in {"simulator", "loadtest"}:
        return

    allowed = any(str(path).startswith(one) for one in SIMULATOR_USERS)
    assert "simulator" not in imported_roots(path) or allowed


@pytest.mark.parametrize(
    "path", [p for p in SOURCES if p.parts[0] in {"retrieval", "auction"}], ids=str
)
def test_the_decision_libraries_read_no_clock_and_roll_no_dice(path):
    assert not imported_roots(path) & {"time", "datetime", "random", "secrets", "asyncio"}


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parts[0] == "adserver"], ids=str)
def test_time_enters_the_server_in_one_place(path):
    if str(path) in MAY_READ_CLOCK:
        return

    assert "time" not in imported_roots(path)


def test_no_file_hides_behind_a_vague_name():
    vague = {"utils", "common", "helpers", "manager", "misc", "core"}

    assert not [path for path in SOURCES if path.stem in vague]


@pytest.mark.parametrize("script", sorted((ROOT / "bench").glob("*.py")), ids=lambda p: p.stem)
def test_every_benchmark_takes_the_flag_that_adserver_bench_passes_on(script):
    assert '"--quick"' in script.read_text()
