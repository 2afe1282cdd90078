"""A logistic regression that learns from the data how far each field's weights may go.

Weights of one field are normal around zero, and their spread is the one under which the clicks are
likeliest, as far as the curvature at the best weights tells (MacKay 1992). Of few clicks that is
worth more than any other choice: what a field does not say is not believed of any of its values.
Beside the topics of page and ad, the ad's topic is crossed with all that a request says of
interests. The weights of fields are summed, crossed ones are averaged over a bag, as towers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.sparse import csr_matrix, hstack

from ranking.counts import COUNTS
from ranking.dataset import Impressions
from ranking.features import (
    AD_FIELDS,
    REQUEST_FIELDS,
    SLOT_FIELDS,
    TOPICS,
    Field,
    bag_starts,
    encoded_topic,
    first_rows,
    rows,
)
from ranking.logistic import LogisticWeights
from ranking.training.progress import Progress

F32 = NDArray[np.float32]
F64 = NDArray[np.float64]
I64 = NDArray[np.int64]
CROSSED = ("topic", "categories", "segments", "words", "clicked")
"""Of a request, crossed with the ad's topic."""
ROUNDS = 8
"""Of weights and spreads in turn."""
STEPS = 12
"""Of L-BFGS a round, from where the round before ended."""
FIRST, LEAST, MOST = 30.0, 0.3, 1e5
"""Precision of a field's weights: at first, and at the ends."""


@dataclass(frozen=True, slots=True)
class Regression:
    """What was learnt, by serving's rows."""

    logistic: LogisticWeights
    """Of which only the page's topic is crossed."""
    slot: F32
    """[slot rows]"""
    crossed: F32
    """[request rows, TOPICS] of the values of CROSSED but the page's topic, zero elsewhere."""


@dataclass(frozen=True, slots=True)
class Part:
    """Weights [V, W] of the V values of one side, in W columns of which a row uses one."""

    side: str
    value: csr_matrix
    """[N, V] what each of N things has; the values of one field stand together."""
    row: I64
    """[V] of serving's tables."""
    of: I64
    """[R] thing and column of each impression, as thing · W + column."""
    fields: tuple[int, ...]
    """How many values each field has."""
    columns: int = 1

    @property
    def sizes(self) -> list[int]:
        """Weights of each field."""
        return [count * self.columns for count in self.fields]

    def logit(self, weight: F64) -> F64:
        """[R] their share."""
        found: F64 = (self.value @ weight.reshape(-1, self.columns)).ravel()[self.of]
        return found

    def slope(self, of_logit: F64) -> F64:
        """Σ over impressions of what comes of a change of each weight."""
        return self._summed(self.value, of_logit)

    def curve(self, of_logit: F64) -> F64:
        """The same of two changes of one weight."""
        return self._summed(self.value.multiply(self.value).tocsr(), of_logit)

    def _summed(self, value: csr_matrix, of_logit: F64) -> F64:
        cells = np.bincount(self.of, of_logit, value.shape[0] * self.columns)
        found: F64 = np.asarray(value.T @ cells.reshape(-1, self.columns)).ravel()
        return found


@dataclass(frozen=True, slots=True)
class Problem:
    """Clicks, and all that they may depend on; weights are one vector, part after part."""

    parts: tuple[Part, ...]
    click: F64
    mass: F64

    @property
    def sizes(self) -> list[int]:
        """Weights of each field of each part."""
        return [size for one in self.parts for size in one.sizes]

    def split(self, weight: F64) -> list[F64]:
        """By parts."""
        return np.split(weight, np.cumsum([sum(one.sizes) for one in self.parts])[:-1])

    def rate(self, weight: F64) -> F64:
        """[R] click rates."""
        logit = np.zeros(len(self.click))
        for one, own in zip(self.parts, self.split(weight), strict=True):
            logit += one.logit(own)
        found: F64 = 1.0 / (1.0 + np.exp(-logit))
        return found

    def curve(self, weight: F64) -> F64:
        rate = self.rate(weight)
        heavy = self.mass * rate * (1 - rate)
        return np.concatenate([one.curve(heavy) for one in self.parts])

    def loss(self, weight: F64) -> tuple[float, F64]:
        """- log likelihood, and its slope."""
        rate = self.rate(weight)
        inside = np.clip(rate, 1e-12, 1 - 1e-12)
        likely = self.click * np.log(inside) + (1 - self.click) * np.log1p(-inside)
        off = self.mass * (rate - self.click)
        return -float(self.mass @ likely), np.concatenate([one.slope(off) for one in self.parts])


def regression(table: Impressions, progress: Progress) -> Regression:
    """Of impressions with their weights; some must be clicked, and not all."""
    click, mass = table.click.astype(np.float64), table.weight.astype(np.float64)
    problem = Problem(tuple(_parts(table)), click, mass)
    share = table.click_rate()
    weight = np.zeros(sum(problem.sizes))
    weight[0] = np.log(share / (1 - share))
    precision = np.full(len(problem.sizes), FIRST)
    precision[0] = 0.0
    curve = problem.curve(weight)
    for done in range(ROUNDS):
        weight = _nearer(problem, weight, np.repeat(precision, problem.sizes), curve)
        curve = problem.curve(weight)
        precision[1:] = _precisions(problem.sizes, weight, curve, precision)[1:]
        progress("regression", (done + 1) / ROUNDS)
    return _laid_out(problem, weight)


def _nearer(problem: Problem, weight: F64, penalty: F64, curve: F64) -> F64:
    """`STEPS` nearer to the likeliest weights under this penalty."""
    scale = 1.0 / np.sqrt(curve + penalty + 1e-9)

    def loss(scaled: F64) -> tuple[float, F64]:
        flat = scaled * scale
        value, slope = problem.loss(flat)
        return value + 0.5 * float(penalty @ flat**2), scale * (slope + penalty * flat)

    limits = {"maxiter": STEPS}
    found = minimize(loss, weight / scale, jac=True, method="L-BFGS-B", options=limits)
    nearer: F64 = found.x * scale
    return nearer


def _precisions(sizes: Sequence[int], weight: F64, curve: F64, before: F64) -> F64:
    """[fields] 1 / σ² of weights that the data have determined this far: MacKay's γ / Σ w²."""
    ends = np.cumsum(sizes)[:-1]
    each = zip(np.split(weight, ends), np.split(curve, ends), before, strict=True)
    found = [
        ((bent / (bent + known)).sum() + 0.5) / (own @ own + 1e-3) if known else 0.0
        for own, bent, known in each
    ]
    return np.clip(found, LEAST, MOST)


def _parts(table: Impressions) -> Iterator[Part]:
    """The intercept first."""
    of, ad = table.of.astype(np.int64), table.ad.astype(np.int64)
    each, one = np.arange(len(table)), np.zeros(1, np.int64)
    yield Part("intercept", csr_matrix(np.ones((1, 1))), one, np.zeros(len(table), np.int64), (1,))
    for side, fields, ids, at in (
        ("request", REQUEST_FIELDS, table.request, of),
        ("ad", AD_FIELDS, table.catalogue, ad),
        ("slot", SLOT_FIELDS, table.slot, each),
    ):
        yield _part(side, [ids[:, own] for own in _columns(fields).values()], at)
    counts = csr_matrix(table.counts.astype(np.float64))
    yield Part("count", counts, np.arange(COUNTS), each, (COUNTS,))
    bags = [table.request[:, _columns(REQUEST_FIELDS)[name]] for name in CROSSED]
    topic = encoded_topic(AD_FIELDS, table.catalogue).astype(np.int64)[ad]
    yield _part("crossed", bags, of * TOPICS + topic, TOPICS)


def _columns(fields: Sequence[Field]) -> dict[str, slice]:
    start = bag_starts(fields).tolist()
    return {one.name: slice(*start[at : at + 2]) for at, one in enumerate(fields)}


def _part(side: str, bags: Sequence[NDArray[np.int32]], of: I64, columns: int = 1) -> Part:
    """Values of bags [N, width] of encoded rows; of crossed ones, their share of the bag."""
    held, known = zip(*map(_values, bags), strict=True)
    if columns > 1:
        held = tuple(one.multiply(1.0 / np.maximum(one.sum(axis=1), 1.0)) for one in held)
    counts = tuple(len(one) for one in known)
    return Part(side, hstack(held).tocsr(), np.concatenate(known), of, counts, columns)


def _values(ids: NDArray[np.int32]) -> tuple[csr_matrix, I64]:
    """How often each of N bags [N, width] holds each value, and the values' rows."""
    row = np.unique(ids).astype(np.int64)
    row = row[row > 0]
    thing, place = np.nonzero(ids)
    value = np.searchsorted(row, ids[thing, place])
    held = csr_matrix((np.ones(len(thing)), (thing, value)), shape=(len(ids), len(row)))
    return held, row


def _laid_out(problem: Problem, weight: F64) -> Regression:
    """In serving's tables."""
    sizes = {"request": REQUEST_FIELDS, "ad": AD_FIELDS, "slot": SLOT_FIELDS}
    shapes = {name: (rows(fields), 1) for name, fields in sizes.items()}
    shapes |= {"intercept": (1, 1), "count": (COUNTS, 1), "crossed": (rows(REQUEST_FIELDS), TOPICS)}
    laid = {}
    for part, own in zip(problem.parts, problem.split(weight), strict=True):
        laid[part.side] = np.zeros(shapes[part.side], np.float32)
        laid[part.side][part.row] = own.reshape(-1, part.columns)
    flat = {name: one[:, 0] for name, one in laid.items()}
    first = first_rows(REQUEST_FIELDS)["topic"]
    cross = laid["crossed"][first : first + TOPICS].copy()
    laid["crossed"][first : first + TOPICS] = 0.0
    logistic = LogisticWeights(
        float(flat["intercept"][0]), flat["request"], flat["ad"], cross, flat["count"]
    )
    return Regression(logistic, flat["slot"], laid["crossed"])
