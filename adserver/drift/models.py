"""What drift must know of the model in production: its data, its age, its requests' vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from adserver.releases.packing import read_manifest
from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import Move, Releases, State
from feedback.drift.observing import Vectors
from ranking.bundle import Bundle, BundleError


@dataclass(frozen=True, slots=True)
class Watched:
    """The model in production. Times are wall ms, 0 where they are not known."""

    version: int
    family: str
    """Versions that share it have the same towers, and the same reference."""
    released_ms: int
    data: tuple[int, int]
    """Begin and end of what it was trained on."""
    trained_ms: int
    """The last training that came as far as the registry, whatever became of it."""
    refit_ms: int
    """The last calibration that did."""
    vectors: Vectors


def watched(registry: Registry) -> Watched:
    """RegistryError where no version is in production, or its files are not whole."""
    version = registry.traffic().production
    try:
        bundle = Bundle.load(registry.folder(version))
    except BundleError as error:
        raise RegistryError(f"version {version}: {error}") from None
    released = registry.read()
    refits, trainings = _made(registry, released)
    return Watched(
        version=version,
        family=bundle.tables_sha256[:16],
        released_ms=released.since_ms(version),
        data=dated(bundle.manifest),
        trained_ms=max(trainings, default=0),
        refit_ms=max(refits, default=0),
        vectors=lambda request: bundle.towers.request(request)[0],
    )


def dated(manifest: dict[str, Any]) -> tuple[int, int]:
    """Begin and end of the data window, wall ms; zeros of data without dates."""
    window = manifest.get("window", {})
    return int(window.get("since_ms") or 0), int(window.get("until_ms") or 0)


def _made(registry: Registry, released: Releases) -> tuple[list[int], list[int]]:
    """Moments at which calibrations, and trained models, were registered."""
    refits: list[int] = []
    trainings: list[int] = []
    for move in released.moves:
        if move.to is State.CANDIDATE and move.before is None:
            made = refits if _is_refit(registry, move) else trainings
            made.append(move.at_ms)
    return refits, trainings


def _is_refit(registry: Registry, move: Move) -> bool:
    """A version whose files are gone is taken for a training, after which more is waited."""
    try:
        lineage = read_manifest(registry.folder(move.version)).get("lineage", {})
    except ValueError:
        return False
    return "calibration_of" in lineage
