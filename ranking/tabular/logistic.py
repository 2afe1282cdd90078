"""Logistic regression: a weight for each value and each number, the same penalty on all.

What every other method has to beat. Newton-like steps of L-BFGS to the optimum, so that how long
it was trained is no question.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ranking.metrics import losses
from ranking.tabular.inputs import Inputs
from ranking.tabular.kernels import linear, linear_gradient

PENALTIES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 3000.0)
"""Tried on the validation rows: half of this times the squared weights is added to the loss."""
STEPS, ENOUGH = 100, 1e-6
"""L-BFGS ends after so many steps, or once one betters the loss by less than this share."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Logistic:
    """Weights: of nothing, of the numbers, of the embedding's rows."""

    weight: Floats
    penalty: float

    def log_odds(self, data: Inputs) -> Floats:
        """[R]"""
        return _log_odds(self.weight, data)


def _log_odds(weight: Floats, data: Inputs) -> Floats:
    out = np.empty(len(data))
    linear(weight, data.first, data.number, out)
    if data.second is not None:
        bare = np.concatenate(([0.0], weight[1 + data.number.shape[1] :]))
        more = np.empty(len(data))
        linear(bare, data.second, data.number[:, :0], more)
        out += more
    return out


def fit(data: Inputs, penalty: float, start: Floats | None = None) -> Logistic:
    """To the optimum, from the weights of another fit where one is at hand."""
    size = 1 + data.number.shape[1] + data.rows
    free = 1 + data.number.shape[1]  # the row of what is not there has the first weight behind
    if start is None:
        rate = (data.click.sum() + 0.5) / (len(data) + 1)
        start = np.zeros(size)
        start[0] = np.log(rate / (1 - rate))

    def objective(weight: Floats) -> tuple[float, Floats]:
        logit = _log_odds(weight, data)
        p = 1 / (1 + np.exp(-logit))
        gradient = np.zeros(size)
        linear_gradient(p - data.click, data.first, data.number, gradient)
        if data.second is not None:
            behind = np.zeros(size - data.number.shape[1])
            linear_gradient(p - data.click, data.second, data.number[:, :0], behind)
            gradient[free:] += behind[1:]
        gradient[1:] += penalty * weight[1:]
        gradient[free] = 0.0
        loss = np.logaddexp(0.0, logit) - data.click * logit
        return float(loss.sum() + penalty / 2 * weight[1:] @ weight[1:]), gradient

    found = minimize(
        objective, start, jac=True, method="L-BFGS-B", options={"maxiter": STEPS, "ftol": ENOUGH}
    )
    return Logistic(np.asarray(found.x), penalty)


def settled(train: Inputs, validation: Inputs) -> Logistic:
    """With the penalty that predicts the validation rows best; from the largest down, until two
    in a row have predicted worse."""
    best, least, worse = None, np.inf, 0
    start: Floats | None = None
    for penalty in sorted(PENALTIES, reverse=True):
        one = fit(train, penalty, start)
        start = one.weight
        loss = losses(validation.click, probability(one.log_odds(validation))).mean()
        worse += 1
        if loss < least:
            best, least, worse = one, float(loss), 0
        if worse == 2:
            break
    assert best is not None
    return best


def probability(log_odds: NDArray[np.floating]) -> Floats:
    """[R] of log-odds."""
    return 1 / (1 + np.exp(-np.asarray(log_odds, np.float64)))
