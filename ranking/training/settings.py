"""How a click model is trained, and how to choose it by the size of what there is to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from ranking.dataset import Impressions
from ranking.model import Shape

MANY = 3_000_000
"""Impressions from which on time is short and negatives are plenty."""
FEW = 600_000
"""Impressions up to which steps of a network learn by heart what a regression with learnt priors
knows better."""
PASS = 34_000
"""So many impressions more allow one more pass over few ones."""
WIDE = Shape(embedding=32, tower=64)
"""For hundreds of thousands of clicks: 178 000 dense parameters. Sixteen numbers cannot hold what
segments say of twenty topics, and what the hidden layers of the towers add is little."""
STEPS = 60
"""So many steps a pass at least: fewer would be gone before the rates have risen and fallen."""


@dataclass(frozen=True, slots=True)
class TrainSettings:
    """The defaults suit a few million impressions and six minutes of two cores."""

    shape: Shape = field(default_factory=Shape)
    epochs: int = 3
    """Passes over the data. More help until the newest impressions' logloss rises."""
    batch: int = 2_048
    """Impressions per step, about."""
    negatives: float = 0.15
    """Share of the impressions without a click that each pass trains on, drawn anew: time falls
    with it, and a click is worth some ten of them. The log-odds are corrected for it."""
    learning_rate: float = 4e-3
    table_rate: float = 0.1
    """Of embeddings and of single weights."""
    doubt: float = 30.0
    """How much evidence a value must bring before its row moves freely."""
    dropout: float = 0.15
    """Share of the pooled embeddings left out at random in training: less is learnt by heart."""
    dot_weight: float = 0.5
    """Weight of the dot product's own loss: the more, the better retrieval agrees with ranking."""
    calibration: float = 0.05
    """Share of the requests, before the newest, that the calibration map is fitted to."""
    test: float = 0.05
    """Share of the requests, the newest, that judge the model. Small tables need more of both."""
    softmax_weight: float = 0.0
    """Weight of a third loss: which ad of the batch was the one clicked, by dot products alone."""
    log_q: float = 1.0
    """In it, how much of the logarithm of an ad's share of the impressions is taken off its score:
    all of it for finding what is clicked often, none for finding what has a high click rate."""
    threads: int = 1
    """Two wait for each other at every step, which costs more than it gives on a busy machine."""
    continued: float = 0.3
    """Both rates are multiplied by it when a former run's weights are continued."""
    regression_alone: bool = False
    """Whether a new model is the regression with learnt priors (`ranking.training.evidence`) and no
    step is made: for few impressions. A run that is continued is stepped on all the same."""
    pull: float = 0.0
    """λ of λ‖θ - θ₀‖², which draws a continued run back to where it began. More makes releases
    differ less from each other, and what is new slower to be learnt."""
    save_every: int = 500
    """Steps between two states from which a run that was cut off goes on."""
    stream: bool = False
    """The table holds every impression at once, unclicked, and again, clicked, when its click came
    (Form.STREAM of the labels): rows are weighed by 1 + p and (1 - p)(1 + p), Ktena et al. 2019."""

    @classmethod
    def for_rows(cls, rows: int) -> TrainSettings:
        """For so many impressions: all of few ones, a share of many in large steps.

        Few ones are left to the regression with learnt priors (`python -m bench.few`): of five days
        with 19,400 clicks it tells 0.68 of what the true rates of the next day would, the network
        alone 0.44, steps from the regression 0.67. Passes of a continued run beyond two pay only
        with more days.
        """
        negatives = min(1.0, max(0.15, MANY * 0.15 / max(rows, 1)))
        batch = 2_048
        while batch > 256 and rows * negatives < STEPS * batch:
            batch //= 2
        usual = cls(batch=batch, negatives=negatives)
        return (
            replace(usual, epochs=max(2, min(8, rows // PASS)), dropout=0.3, regression_alone=True)
            if rows < FEW
            else usual
        )

    @classmethod
    def for_table(cls, table: Impressions) -> TrainSettings:
        """For these impressions: those that stand for others already tell of tens of millions. The
        clicks of so many are learnt by heart less easily, and fill wider embeddings."""
        usual = cls.for_rows(len(table))
        thinned = len(table) and table.weight.max() > table.weight.min()
        large = replace(usual, shape=WIDE, negatives=0.3, dropout=0.1)
        return large if thinned else usual

    def problems(self) -> Iterator[str]:
        """What cannot be trained with, by name."""
        for name in ("epochs", "batch", "threads", "save_every"):
            if getattr(self, name) < 1:
                yield f"training.{name} ({getattr(self, name)}) must be at least 1"
        if not 0 < self.negatives <= 1:
            yield f"training.negatives ({self.negatives}) must be above 0 and at most 1"
        if not 0 <= self.dropout < 1:
            yield f"training.dropout ({self.dropout}) must lie in 0 … 1"
        if not (self.calibration > 0 and self.test > 0 and self.calibration + self.test < 1):
            yield "training.calibration and training.test must be above 0, and 1 in sum at most"
        for name in ("continued", "pull", "dot_weight", "softmax_weight"):
            if getattr(self, name) < 0:
                yield f"training.{name} ({getattr(self, name)}) must not be negative"
