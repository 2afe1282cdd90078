"""Learning from a stream of impressions at once, unclicked, and once more, clicked, when the click
comes: fake-negative weighting (Ktena et al. 2019, arXiv 1907.06558).

Of such a stream the share of clicked rows is b = p / (1 + p), not p. Each row is weighed by what
it would be under p over what it is under b: clicked p/b = 1 + p, unclicked (1-p)/(1-b) =
(1-p)(1+p), where p is the model's own prediction, taken as a constant by the gradient.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from feedback.chance import NORMAL_95

Floats = NDArray[np.float64]


def fnw_weight(click: NDArray[np.uint8], p: Floats) -> Floats:
    """[R] weight of each row of a stream, given the predictions [R]."""
    return np.where(click > 0, 1 + p, (1 - p) * (1 + p))


def fnw_gradient(click: NDArray[np.uint8], logit: Floats) -> Floats:
    """[R] of the weighted log loss by the logit: the weight times p - click.

    It is (1 - p²) times p for an impression and times -1 for a click, and so is 0 in the mean
    where p is clicks per impression, which is what the training is for.
    """
    p = 1 / (1 + np.exp(-logit))
    return fnw_weight(click, p) * (p - click)


def stream_rate(click: NDArray[np.uint8]) -> float:
    """The constant p at which `fnw_gradient` is 0 in the mean: clicks per impression."""
    clicks = int(click.sum())
    return clicks / (len(click) - clicks)


def missing_share(window_s: float, delay_s: float) -> float:
    """Of the clicks of impressions spread evenly over `window_s`, the share that has not come when
    it ends, if delays are exponential of mean `delay_s`: how far below the truth the naive rate is.
    """
    return delay_s / window_s * (1 - float(np.exp(-window_s / delay_s)))


def stream_interval(click: NDArray[np.uint8]) -> tuple[float, float]:
    """95 % interval of `stream_rate`: clicks and impressions of a window are two counts, as the
    clicks may be of earlier impressions, so the ratio's relative variance is 1/clicks + 1/shown."""
    clicks = int(click.sum())
    if clicks == 0:
        return 0.0, 1.0
    rate = stream_rate(click)
    spread = NORMAL_95 * float(np.sqrt(1 / clicks + 1 / (len(click) - clicks)))
    return rate * float(np.exp(-spread)), rate * float(np.exp(spread))
