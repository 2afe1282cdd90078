"""Versions and their states on disk: whole or not at all, also when several ask at once."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from model_variants import COMMITTED, exported, repository_at
from typer.testing import CliRunner

from adserver.cli import app
from adserver.releases import layout
from adserver.releases.registry import FILE, Registry, RegistryError
from adserver.releases.states import State
from adserver.releases.triton_config import TEMPLATE
from ranking.bundle import Bundle


@pytest.fixture
def registry(tmp_path) -> Registry:
    return Registry(repository_at(tmp_path / "models"))


@pytest.fixture
def candidate(tmp_path):
    return exported(tmp_path / "run")


def test_a_repository_that_cannot_be_written_serves_its_lowest_version(registry, tmp_path):
    exported(registry.folder(2))

    assert registry.traffic().production == 1
    assert registry.traffic().versions == (1,)
    assert not (registry.repository / FILE).exists()


def test_a_registered_version_is_whole_and_knows_where_it_comes_from(registry, candidate):
    version = registry.register(candidate, 1000, run="runs/7")

    bundle = Bundle.load(registry.folder(version))
    assert (version, bundle.version) == (2, 2)
    assert bundle.manifest["lineage"].items() >= {"run": "runs/7", "parent": 1}.items()
    assert registry.read().states == {1: State.PRODUCTION, 2: State.CANDIDATE}
    assert sorted(one.name for one in registry.repository.iterdir()) == [
        ".releases.lock", "ctr_ranker", "releases.json",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("damage", "why"),
    [
        ({"feature_schema": "0123456789abcdef"}, "feature schema 0123456789abcdef"),
        ({"gate": None}, "no gate report"),
        ({"gate": {"passed": False, "AUC change": -0.01}}, "did not pass .*-0.01"),
        ({"gate": {"INT8": {"passed": True}, "candidate": {"passed": False}}}, "did not pass"),
        ({"files": {}}, "cannot be loaded"),
    ],
)
def test_a_model_that_may_not_be_served_is_refused_and_leaves_nothing(
    damage, why, registry, tmp_path
):
    with pytest.raises(RegistryError, match=why):
        registry.register(exported(tmp_path / "bad", **damage), 1000)

    assert layout.versions_of(registry.repository) == [1]
    assert registry.read().states == {1: State.PRODUCTION}
    assert not list(registry.repository.glob(".registering*"))


def test_an_altered_file_is_refused_by_its_checksum(registry, candidate):
    content = bytearray((candidate / "towers.npz").read_bytes())
    content[1000] ^= 1
    (candidate / "towers.npz").write_bytes(content)

    with pytest.raises(RegistryError, match=r"towers.npz: sha256"):
        registry.register(candidate, 1000)


def test_a_missing_file_is_named(registry, candidate):
    (candidate / "logistic.npz").unlink()

    with pytest.raises(RegistryError, match=r"logistic.npz"):
        registry.register(candidate, 1000)


def test_what_a_killed_registration_left_is_cleared_away(registry, candidate):
    (registry.repository / ".registering-2").mkdir()
    (registry.repository / ".registering-2" / "towers.npz").write_bytes(b"half")

    assert registry.register(candidate, 1000) == 2
    assert not list(registry.repository.glob(".registering*"))


def test_registrations_at_the_same_time_get_numbers_of_their_own(registry, candidate):
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda at: registry.register(candidate, at), range(4)))

    assert sorted(made) == [2, 3, 4, 5]
    assert {Bundle.load(registry.folder(v)).version for v in made} == set(made)
    assert len(registry.read().moves) == 4


def test_tritons_configuration_names_the_versions_in_use(registry, candidate):
    config = registry.repository / "ctr_ranker" / "config.pbtxt"
    before = config.read_text()
    version = registry.register(candidate, 1)
    registry.promote(version, None, 2, "", {})
    during = config.read_text()
    registry.roll_back(None, 3, "", {})

    assert layout.policy([1, 2]) in during
    assert config.read_text() == before
    assert before == TEMPLATE


def test_a_new_repository_gets_what_triton_wants(tmp_path, candidate):
    registry = Registry(tmp_path / "new")
    version = registry.register(candidate, 1)
    with pytest.raises(RegistryError, match="no version is in production"):
        registry.traffic()
    registry.promote(version, State.PRODUCTION, 2, "the first", {})

    assert registry.traffic().production == 1
    assert layout.policy([1]) in (tmp_path / "new" / "ctr_ranker" / "config.pbtxt").read_text()
    assert (registry.folder(1) / "model.py").read_text() == (COMMITTED / "model.py").read_text()


def test_retired_versions_beyond_those_kept_lose_their_files_not_their_history(registry, candidate):
    registry = Registry(registry.repository, keep=1)
    for at in range(3):
        registry.promote(registry.register(candidate, at), State.PRODUCTION, at, "", {})

    assert layout.versions_of(registry.repository) == [3, 4]
    assert {move.version for move in registry.read().moves} == {1, 2, 3, 4}
    assert registry.roll_back(None, 9, "", {}) == 4
    assert registry.traffic().production == 3


def test_the_stamp_changes_with_every_move(registry, candidate):
    seen = [registry.stamp()]
    version = registry.register(candidate, 1)
    seen.append(registry.stamp())
    registry.promote(version, None, 2, "", {})
    seen.append(registry.stamp())

    assert len(set(seen)) == 3


def test_a_damaged_record_is_named_and_not_overwritten(registry, candidate):
    (registry.repository / FILE).write_text("{")

    with pytest.raises(RegistryError, match=r"releases.json"):
        registry.register(candidate, 1)

    assert (registry.repository / FILE).read_text() == "{"


class Cli:
    def __init__(self, repository):
        self._environment = {"MODEL_REPOSITORY": str(repository)}

    def __call__(self, *arguments):
        return CliRunner().invoke(app, ["models", *map(str, arguments)], env=self._environment)

    def json(self, *arguments):
        done = self(*arguments, "--format", "json")
        assert done.exit_code == 0, done.output
        return json.loads(done.stdout)


@pytest.fixture
def cli(registry) -> Cli:
    return Cli(registry.repository)


def test_the_command_line_registers_promotes_shows_and_rolls_back(cli, candidate):
    assert cli("register", candidate).stdout.strip() == "2"
    assert "version 2 is shadow" in cli("promote", 2, "--why", "looks well").stdout
    assert [(row["version"], row["state"]) for row in cli.json("list")] == [
        (2, "shadow"),
        (1, "production"),
    ]
    assert [row["reason"] for row in cli.json("show", 2)["history"]][1] == "looks well"
    assert "version 2 is retired" in cli("rollback").stdout
    assert "retired" in cli("list").stdout


def test_a_refusal_ends_in_exit_1_and_its_reason(cli):
    done = cli("promote", 7)

    assert done.exit_code == 1
    assert "there is no version 7" in done.stderr


def test_the_difference_of_two_versions_is_found_where_it_was_made(cli, tmp_path):
    cli("register", exported(tmp_path / "a", rate=1.5))
    cli("register", exported(tmp_path / "b", shift=0.1))

    recalibrated = {row["what"]: row for row in cli.json("diff", 1, 2)}
    moved = {row["what"]: row for row in cli.json("diff", 1, 3)}

    assert 0.40 < recalibrated["calibration, most log-odds"]["2"] < 0.55  # ln 1.5 and more
    assert recalibrated["weights ad.b2, relative"]["2"] == 0.0
    assert moved["weights ad.b2, relative"]["3"] > 0.0
    assert moved["calibration, most log-odds"]["3"] == 0.0
