"""Four methods on the same rows, inputs and split, and how they compare on the newest rows.

What each method leaves open is settled on the validation rows; then it is trained anew on all rows
before the test. The ranker is wide and deep: the network is trained to add to the log-odds of the
logistic regression, and the share of what it adds that predicts the validation rows best is added.
Where the gain there is within chance the share is none: the ranker is the logistic regression.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ranking.intervals import Interval, Sample, differences, intervals
from ranking.metrics import Metrics, losses, measure
from ranking.tabular import boosted, logistic, network
from ranking.tabular.inputs import Inputs
from ranking.tabular.logistic import Logistic, probability
from ranking.tabular.network import Based, NetSettings, Networks
from ranking.tabular.parts import Parts

RANKER, NETWORK, LOGISTIC, TREES = "ranker", "network in full", "logistic regression", "LightGBM"
SHARES = np.linspace(0.0, 1.0, 11)
CERTAIN = 2.0
"""Standard errors of the gain in validation loss that it takes to give the network a share: the
same rows have stopped its training, and flatter it."""
FEWEST_CLICKS = 100
"""Among the validation rows, below which nothing is certain."""
Heard = Callable[[str, float], None]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one method on the test rows."""

    method: str
    metrics: Metrics
    auc: Interval
    auc_over_logistic: Interval
    """AUC less that of logistic regression, both drawn together."""
    about: dict[str, float]
    """What was settled."""


@dataclass(frozen=True, slots=True)
class Predictions:
    """Of one method: log-odds of the test rows, and what was settled."""

    method: str
    log_odds: Floats
    about: dict[str, float]


@dataclass(frozen=True, slots=True)
class Ranker:
    """Logistic regression and a share of what networks add to it."""

    line: Logistic
    nets: Networks
    share: float
    passes: float
    """Over the rows, for each network."""

    def predictions(self, test: Inputs) -> list[Predictions]:
        """Of the ranker and of both its halves."""
        straight, added = self.line.log_odds(test), self.nets.log_odds(test)
        deep = {"passes": self.passes, "dense parameters": float(self.nets.dense)}
        return [
            Predictions(RANKER, straight + self.share * added, {"share": self.share}),
            Predictions(NETWORK, straight + added, deep),
            Predictions(LOGISTIC, straight, {"penalty": self.line.penalty}),
        ]


def ranker(data: Inputs, parts: Parts, settings: NetSettings, seed: int, heard: Heard) -> Ranker:
    """Settled on the validation rows, then trained on all before the test."""
    train, validation, before = (
        data.part(at) for at in (parts.train, parts.validation, parts.before_test)
    )
    heard(LOGISTIC, 0.0)
    line = logistic.settled(train, validation)
    lines = logistic.fit(before, line.penalty, line.weight)
    heard(LOGISTIC, 1.0)
    judge = Based(validation, line.log_odds(validation))
    net = network.settled(Based(train, line.log_odds(train)), judge, settings, seed, heard)
    share = mixing(judge, net.log_odds(validation))
    nets = network.fit(Based(before, lines.log_odds(before)), net.looks, settings, seed, heard)
    return Ranker(lines, nets, share, net.looks / settings.looks)


def trees(data: Inputs, parts: Parts, seed: int, heard: Heard) -> Predictions:
    """LightGBM, settled and trained alike."""
    heard(TREES, 0.0)
    found = boosted.settled(data.part(parts.train), data.part(parts.validation), seed).shape
    made = boosted.fit(data.part(parts.before_test), found, seed)
    heard(TREES, 1.0)
    about = {"leaves": float(found.leaves), "rounds": float(found.rounds)}
    return Predictions(TREES, made.log_odds(data.part(parts.test)), about)


def mixing(validation: Based, added: Floats) -> float:
    """The share of what the network adds that predicts best; 0 unless the gain is certain."""
    click = validation.inputs.click
    each = [losses(click, probability(validation.base + x * added)) for x in SHARES.tolist()]
    best = int(np.argmin([one.mean() for one in each]))
    gain = each[0] - each[best]
    error = float(gain.std() / np.sqrt(len(gain)))
    certain = click.sum() >= FEWEST_CLICKS and gain.mean() > CERTAIN * error
    return float(SHARES[best]) if certain else 0.0


def judged(
    click: NDArray[np.uint8], predicted: list[Predictions], rng: np.random.Generator
) -> list[Figures]:
    """Figures of each, with intervals of blocks of neighbouring rows."""
    sample = Sample(click, np.arange(len(click)))
    rates = {one.method: probability(one.log_odds) for one in predicted}
    return [
        Figures(
            method=one.method,
            metrics=measure(click, rates[one.method]),
            auc=intervals(sample, rates[one.method], rng)["auc"],
            auc_over_logistic=differences(sample, rates[LOGISTIC], rates[one.method], rng)["auc"],
            about=one.about,
        )
        for one in predicted
    ]
