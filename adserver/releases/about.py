"""What can be told of versions: their facts, their history, how far two are from each other.

Reads version folders and the record of releases; changes nothing.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adserver.releases.packing import read_manifest
from adserver.releases.registry import Registry, RegistryError
from adserver.releases.states import Releases
from ranking.bundle import Bundle, BundleError, expand
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.int8 import LocalScorer
from ranking.scorer import Pairs
from ranking.table import AdTable

USUAL = (1e-4, 0.2)
"""Click rates between these are met in earnest."""
Row = dict[str, Any]
Weights = dict[str, NDArray[np.float32]]


def versions(registry: Registry) -> list[Row]:
    """One row per version, the newest first."""
    released = registry.read()
    return [_summary(registry, released, v) for v in sorted(released.states, reverse=True)]


def _summary(registry: Registry, released: Releases, version: int) -> Row:
    manifest = _manifest(registry, version)
    served = manifest.get("metrics", {}).get("int8", {})
    return {
        "version": version,
        "state": str(released.states[version]),
        "since": moment(released.since_ms(version)),
        "parent": manifest.get("lineage", {}).get("parent") or None,
        "auc": served.get("auc"),
        "logloss": served.get("logloss"),
        "ece": served.get("ece"),
        "copc": served.get("copc"),
    }


def version(registry: Registry, number: int) -> Row:
    """All that the manifest says, flattened, with the state."""
    state = registry.read().states.get(number)
    return {"state": str(state) if state else None, **_leaves(_manifest(registry, number))}


def reports(registry: Registry, number: int) -> list[Row]:
    """What gates found, each as `ranking.gate` writes it."""
    manifest = _manifest(registry, number)
    found = [manifest.get(name) for name in ("gate", "challenge")]
    return [one for one in found if isinstance(one, dict) and "checks" in one]


def history(registry: Registry, number: int | None = None) -> list[Row]:
    """The moves of one version, or all that are remembered, oldest first."""
    return [
        {
            "at": moment(move.at_ms),
            "version": move.version,
            "from": str(move.before) if move.before else None,
            "to": str(move.to),
            "reason": move.reason,
            "numbers": _flat(move.numbers),
        }
        for move in registry.read().moves
        if number in {None, move.version}
    ]


def difference(registry: Registry, one: int, other: int, scored: Path | None = None) -> list[Row]:
    """What differs, quantity by quantity; scores are compared on the impressions in `scored`."""
    left, right = (_leaves(_manifest(registry, number)) for number in (one, other))
    wanted = ("metrics.", "window", "click_rate", "feature_schema", "embedding_version", "lineage.")
    rows = [
        {"what": name, str(one): left.get(name), str(other): right.get(name)}
        for name in dict.fromkeys([*left, *right])
        if name.startswith(wanted) and left.get(name) != right.get(name)
    ]
    old, new = _bundle(registry, one), _bundle(registry, other)
    facts = _distances(_weights(registry, one), _weights(registry, other))
    facts["calibration, most log-odds"] = _calibration_distance(old.calibration, new.calibration)
    if scored:
        facts |= _score_distance(old, new, Impressions.load(scored))
    return rows + [{"what": name, str(one): None, str(other): v} for name, v in facts.items()]


def _distances(old: Weights, new: Weights) -> dict[str, float]:
    """Of each array that both have: |a - b| / |a|."""
    both = sorted(name for name in set(old) & set(new) if old[name].shape == new[name].shape)
    return {f"weights {name}, relative": _relative(old[name], new[name]) for name in both}


def _calibration_distance(old: Calibration, new: Calibration) -> float:
    """The most that click rates differ, in log-odds, where the older map has usual ones."""
    at = (old.first + old.step * np.arange(len(old.probability))).astype(np.float32)
    usual = at[(old(at) > USUAL[0]) & (old(at) < USUAL[1])]
    return float(np.abs(_log_odds(old(usual)) - _log_odds(new(usual))).max(initial=0.0))


def _score_distance(one: Bundle, other: Bundle, rows: Impressions) -> dict[str, float]:
    """How the two versions' click rates of the same impressions go together."""
    left, right = (_log_odds(_click_rates(bundle, rows)) for bundle in (one, other))
    return {
        "score correlation": float(np.corrcoef(left, right)[0, 1]),
        "score mean ratio": float(_rate(right).mean() / _rate(left).mean()),
    }


def _click_rates(bundle: Bundle, rows: Impressions) -> NDArray[np.float32]:
    scorer = LocalScorer(bundle)
    scorer.add(0, AdTable.build(bundle, rows.catalogue))
    vector, bias = bundle.towers.request(rows.request)
    pairs = Pairs(0, vector, bias, rows.ad, rows.starts().astype(np.int32))
    logit = scorer.score(pairs) + bundle.towers.slot_bias(rows.slot) + bundle.count(rows.counts)
    return bundle.calibration(logit)


def _relative(one: NDArray[np.float32], other: NDArray[np.float32]) -> float:
    return float(np.linalg.norm(one - other) / max(float(np.linalg.norm(one)), 1e-12))


def _log_odds(rate: NDArray[np.float32]) -> NDArray[np.float64]:
    clipped = np.clip(rate.astype(np.float64), 1e-9, 1 - 1e-9)
    return np.log(clipped / (1 - clipped))


def _rate(log_odds: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1 / (1 + np.exp(-log_odds))


def _manifest(registry: Registry, version: int) -> Row:
    if not registry.folder(version).is_dir():
        raise RegistryError(f"there is no version {version}")
    try:
        return read_manifest(registry.folder(version))
    except ValueError as error:
        raise RegistryError(f"version {version}: {error}") from None


def _bundle(registry: Registry, version: int) -> Bundle:
    try:
        return Bundle.load(registry.folder(version))
    except BundleError as error:
        raise RegistryError(f"version {version}: {error}") from None


def _weights(registry: Registry, version: int) -> Weights:
    with np.load(registry.folder(version) / "towers.npz") as packed:
        return expand(dict(packed))


def _leaves(value: Row, under: str = "") -> Row:
    found: Row = {}
    for name, one in value.items():
        if isinstance(one, dict):
            found |= _leaves(one, f"{under}{name}.")
        else:
            found[under + name] = one
    return found


def _flat(value: Any) -> str:
    return ", ".join(f"{name} {one}" for name, one in value.items())


def moment(ms: int) -> str | None:
    if not ms:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
