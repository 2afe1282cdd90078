"""Made-up days of impressions whose mix follows the hour, and whose clicks follow the score."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ranking.counts import COUNTS
from ranking.dataset import Impressions
from ranking.features import AD_FIELDS, REQUEST_FIELDS, bag_starts, width

HOUR_MS = 3_600_000
MONDAY_MS = 1_793_577_600_000
"""2026-11-02 00:00 UTC."""
COLUMN = dict(
    zip((f.name for f in REQUEST_FIELDS), bag_starts(REQUEST_FIELDS).tolist(), strict=False)
)


@dataclass(frozen=True)
class Scene:
    """What a stretch of time is like; the defaults are the usual."""

    devices: tuple[float, ...] = (0.55, 0.35, 0.1)
    countries: int = 30
    copc: float = 1.0
    """Clicks per predicted click."""
    turned: float = 0.0
    """By how much request vectors are moved."""


USUAL = Scene()


def hours(
    first: int, count: int, seed: int, scene: Scene = USUAL, requests: int = 2000
) -> tuple[Impressions, np.ndarray, np.ndarray]:
    """Impressions of hours since MONDAY_MS, their scores, and their requests' vectors [Q, 12]."""
    parts = [_hour(first + at, seed, scene, requests) for at in range(count)]
    request = np.concatenate([part[0] for part in parts])
    score = np.concatenate([part[1] for part in parts])
    click = np.concatenate([part[2] for part in parts])
    vector = np.concatenate([part[3] for part in parts])
    time = np.concatenate([part[4] for part in parts])
    rows = len(request)
    table = Impressions(
        request=request,
        catalogue=np.arange(20 * width(AD_FIELDS), dtype=np.int32).reshape(20, -1),
        of=np.arange(rows, dtype=np.int32),
        ad=(request[:, COLUMN["device"]] * 5 % 20).astype(np.int32),
        slot=np.ones((rows, 3), np.int32),
        click=click,
        truth=np.empty(0, np.float32),
        counts=np.repeat(score[:, None], COUNTS, axis=1).astype(np.float32),
        weight=np.ones(rows, np.float32),
        time_ms=time,
    )
    return table, score, vector


def _hour(hour: int, seed: int, scene: Scene, requests: int):
    """Phones in the evening, other countries by night, fewer people asleep."""
    rng = np.random.default_rng([seed, hour])
    turn = np.cos((hour % 24 - 20) / 24 * 2 * np.pi)
    rows = int(requests * (1 + 0.6 * turn))
    mix = (
        np.array(scene.devices)
        * np.array([1 + 0.3 * turn, 1 - 0.3 * turn, 1, 1])[: len(scene.devices)]
    )
    device = rng.choice(len(mix), rows, p=mix / mix.sum())
    country = np.minimum(rng.geometric(0.2 + 0.05 * turn, rows), scene.countries)
    request = np.zeros((rows, width(REQUEST_FIELDS)), np.int32)
    request[:, COLUMN["device"]] = device + 1
    request[:, COLUMN["country"]] = country + 100
    request[:, COLUMN["domain"]] = rng.integers(500, 600, rows)
    score = np.clip(0.03 * np.exp(rng.normal(0, 0.5, rows) + 0.5 * (device == 1)), 0, 0.5)
    click = (rng.random(rows) < np.clip(score * scene.copc, 0, 1)).astype(np.uint8)
    vector = rng.normal(0, np.linspace(2, 0.5, 12), (rows, 12)) + 0.4 * turn
    vector[:, :3] += scene.turned
    time = MONDAY_MS + hour * HOUR_MS + np.sort(rng.integers(0, HOUR_MS, rows))
    return request, score.astype(np.float32), click, vector, time
