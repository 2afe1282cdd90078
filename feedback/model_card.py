"""What a trained model is, how good it is and of what: a page and its pictures in the run's folder.

Judged on the run's newest slice, through a calibration map fitted to the slice before it, as export
fits it. Drift compares the last day of the table that was trained on with its first.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from feedback import card_plots
from feedback.drift.bins import learn
from feedback.drift.columns import columns
from feedback.drift.measures import critical_values, psi, shares
from ranking import reference
from ranking.calibration import Calibration
from ranking.dataset import Impressions
from ranking.judge import weight_of
from ranking.metrics import Metrics, bin_sums, masses, measure

CARD = "card.md"
DAY_MS = 86_400_000
BINS, CLICKS = 20, 10
"""At most so many bins, of at least so many clicks each: fewer tell a rate within a factor of 2."""
POINTS = 400
"""Of a curve."""
CHANCE = 0.001
MOST = 15
"""Features in the plot of drift."""
PURPOSE = """## What it is for

Click rates of ads that fit a page, for ranking and for bids per click. It knows people \
by a hash and by the topics of what they lately saw and clicked. Rates of ads and places \
that it never saw are those of their category, size and words. It says nothing of \
conversions, and it is calibrated for the traffic of its newest days only."""
MOST_ROWS = 200_000
"""Of each day that is looked at for drift."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """Of F features, the largest PSI first."""

    name: list[str]
    psi: Floats
    critical: Floats
    """[F] what chance alone exceeds once in a thousand."""


def write_card(run: Path, table: Impressions) -> Path:
    """card.md, roc.png, calibration.png, drift.png and scores.png, of the run trained on `table`.

    Weights that say how many impressions a row stands for are heeded. Takes some seconds.
    """
    about = json.loads((run / "checkpoint.json").read_text())
    weights = dict(np.load(run / "weights.npz"))
    test = Impressions.load(run / "test_slice.npz")
    newest = Impressions.load(run / "calibration_slice.npz")
    map_ = Calibration.fit(reference.score(weights, newest).full, newest.click, weight_of(newest))
    logit = reference.score(weights, test).full
    raw, rate = reference.sigmoid(logit), map_(logit).astype(np.float64)
    _pictures(run, test, raw, rate)
    judged = {
        "before calibration": measure(test.click, raw, test.weight),
        "after calibration": measure(test.click, rate, test.weight),
    }
    if len(test.truth):
        judged["the true rates"] = measure(test.click, test.truth, test.weight)
    found = drift_of(table, weights)
    card_plots.drift(run / "drift.png", found.name, found.psi, found.critical)
    (run / CARD).write_text(_page(about, test, judged, found))
    return run / CARD


def _pictures(run: Path, test: Impressions, raw: Floats, rate: Floats) -> None:
    curves = [("model", *roc_of(test, rate))]
    if len(test.truth):
        curves.append(("the true click rates", *roc_of(test, test.truth.astype(np.float64))))
    card_plots.roc(run / "roc.png", curves)
    both = [("before calibration", *met(test, raw)), ("after calibration", *met(test, rate))]
    card_plots.calibration(run / "calibration.png", both)
    hit = test.click > 0
    card_plots.scores(run / "scores.png", rate[hit], rate[~hit])


def roc_of(test: Impressions, score: Floats) -> tuple[Floats, Floats]:
    """[POINTS] false and true positive rates at falling thresholds, from 0 to 1."""
    order = np.argsort(-score, kind="stable")
    mass, hit = masses(len(test), test.weight)[order], test.click[order] > 0
    false, true = np.cumsum(np.where(hit, 0.0, mass)), np.cumsum(np.where(hit, mass, 0.0))
    at = np.linspace(0, len(order) - 1, min(POINTS, len(order))).astype(np.int64)
    return (
        np.concatenate([[0.0], false[at] / max(false[-1], 1e-12)]),
        np.concatenate([[0.0], true[at] / max(true[-1], 1e-12)]),
    )


def met(test: Impressions, rate: Floats) -> tuple[Floats, Floats, Floats]:
    """[≤ BINS] predicted and seen rates of bins of equal mass, and the standard errors of these."""
    order, mass = np.argsort(rate, kind="stable"), masses(len(test), test.weight)
    parts = (mass, mass * rate, mass * test.click, mass**2 * rate * (1 - rate))
    bins = min(BINS, max(2, int(test.click.sum()) // CLICKS))
    total, predicted, seen, noise = (bin_sums(one, order, mass, bins) for one in parts)
    some = (total > 0) & (seen > 0)
    total = total[some]
    return predicted[some] / total, seen[some] / total, np.sqrt(noise[some]) / total


def drift_of(table: Impressions, weights: Mapping[str, NDArray[np.float32]]) -> Drift:
    """The last day, or tenth, of a table against its first."""
    ends = [_end(table, kept) for kept in _ends(table)]
    watched = [columns(one, reference.sigmoid(reference.score(weights, one).full)) for one in ends]
    bins = learn(watched[0], ends[0])
    counted, noise = [], np.zeros(len(bins))
    for part, named in zip(ends, watched, strict=True):
        count, by_request = np.zeros(bins.start[-1]), _of_requests(part)
        for feature, one in enumerate(named):
            mass = by_request if one.of_requests else part.weight.astype(np.float64)
            count += np.bincount(bins.place(feature, one.values), mass, len(count))
            noise[feature] += (mass**2).sum() / mass.sum() ** 2  # 1 / N of equal masses
        counted.append(shares(count, bins.start))
    found = psi(counted[1], counted[0], bins.start)
    critical, _ = critical_values(np.diff(bins.start), noise, CHANCE)
    order = np.argsort(-found, kind="stable")[:MOST]
    return Drift([str(bins.name[at]) for at in order], found[order], critical[order])


def _ends(table: Impressions) -> list[NDArray[np.bool_]]:
    """Rows of the first and of the last day, at most MOST_ROWS of each, whole requests."""
    if len(table.time_ms):
        since, until = table.time_ms[0] + DAY_MS, table.time_ms[-1] - DAY_MS
        ends = [table.time_ms < since, table.time_ms > until]
    else:
        row = np.arange(len(table))
        ends = [row < len(row) / 10, row >= len(row) * 0.9]
    chance = np.random.default_rng(0).random(len(table.request))[table.of]
    return [end & (chance < MOST_ROWS / max(end.sum(), 1)) for end in ends]


def _end(table: Impressions, kept: NDArray[np.bool_]) -> Impressions:
    """These rows, as of one day where days are not known."""
    part = table.where(kept)
    return part if len(part.time_ms) else replace(part, time_ms=np.zeros(len(part), np.int64))


def _of_requests(part: Impressions) -> Floats:
    """[Q] the mean weight of each request's impressions."""
    rows = np.bincount(part.of, minlength=len(part.request))
    total: Floats = np.bincount(part.of, part.weight, len(part.request)) / np.maximum(rows, 1)
    return total


def _page(
    about: Mapping[str, Any], test: Impressions, judged: Mapping[str, Metrics], drift: Drift
) -> str:
    return "\n".join([*_trained(about, test), *_judged(judged), *_drifted(drift), PURPOSE, ""])


def _trained(about: Mapping[str, Any], test: Impressions) -> list[str]:
    shape, window = about["settings"]["shape"], about["window"]
    return [
        f"# Click model: {about['kind']}",
        "",
        f"- Trained on {window['impressions']:,} impressions of {window['requests']:,} requests"
        f"{_dates(window)}; click rate {about['click_rate']:.3%}.",
        f"- {about['dense_parameters']:,} dense parameters; layers {_layers(shape)}.",
        f"- Seed {about['seed']}; features `{about['feature_schema']}`; "
        f"{_started(about['start'])}.",
        f"- Judged on the newest {len(test):,} impressions with {int(test.click.sum()):,} clicks, "
        "calibrated on as many before them. The model saw neither.",
        "",
    ]


def _judged(judged: Mapping[str, Metrics]) -> list[str]:
    return [
        "| | AUC | logloss | normalised entropy | ECE | COPC |",
        "|---|---|---|---|---|---|",
        *(_row(name, one) for name, one in judged.items()),
        "",
        *_share(judged),
        "![ROC](roc.png) ![Calibration](calibration.png) ![Scores](scores.png)",
        "",
    ]


def _drifted(drift: Drift) -> list[str]:
    return [
        "## Drift within the data",
        "",
        "The last day against the first. Above its mark a feature changed by more than chance; "
        "counts begin at zero where the first day is that of an empty store.",
        "",
        "![Drift](drift.png)",
        "",
        "| feature | PSI | by chance in 1 of 1000 |",
        "|---|---|---|",
        *(
            f"| {name} | {found:.4f} | {least:.4f} |"
            for name, found, least in zip(drift.name, drift.psi, drift.critical, strict=True)
        ),
        "",
    ]


def _row(name: str, one: Metrics) -> str:
    figures = f"{one.auc:.4f} | {one.logloss:.5f} | {one.normalised_entropy:.4f} | {one.ece:.5f}"
    return f"| {name} | {figures} | {one.copc:.3f} |"


def _share(judged: Mapping[str, Metrics]) -> Sequence[str]:
    if "the true rates" not in judged:
        return ()
    share = judged["after calibration"].auc / judged["the true rates"].auc
    return (f"The model reaches {share:.1%} of the AUC that the true click rates have.", "")


def _dates(window: Mapping[str, int]) -> str:
    if "since_ms" not in window:
        return ""
    since, until = (
        datetime.fromtimestamp(window[name] / 1000, UTC).strftime("%Y-%m-%d %H:%M")
        for name in ("since_ms", "until_ms")
    )
    return f", {since} to {until} UTC"


def _layers(shape: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {size}" for name, size in shape.items())


def _started(start: str | None) -> str:
    return f"continued from `{start}`" if start else "trained from nothing"
