"""Running counts become features: what nothing, much and little evidence look like."""

from __future__ import annotations

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal

from ranking.counts import COUNTS, EACH, HIDDEN, KEYS, WINDOWS_S, CountHead, key_features
from ranking.features import (
    REQUEST_FIELDS,
    RequestFields,
    encode_request,
    encode_requests,
    first_rows,
)


def _counts(shown: float, clicked: float) -> np.ndarray:
    size = (1, len(KEYS), len(WINDOWS_S))
    features = key_features(np.full(size, shown, np.float32), np.full(size, clicked, np.float32))
    return features.reshape(1, COUNTS)


def test_nothing_known_is_all_zeros():
    assert_array_equal(_counts(0, 0), np.zeros((1, COUNTS), np.float32))


def test_much_evidence_is_believed_and_little_is_drawn_to_the_prior():
    assert_allclose(_counts(1e6, 5e4)[0, 0], np.log(5.0), rtol=1e-3)
    assert 0 < _counts(20, 1)[0, 0] < np.log(5.0)


def test_confidence_grows_with_impressions_whatever_was_clicked():
    assert_allclose(_counts(99, 1)[0, EACH - 1], np.log(100), rtol=1e-6)


def test_the_head_is_a_small_network(rng: np.random.Generator):
    w1, b1 = rng.normal(size=(COUNTS, HIDDEN)), rng.normal(size=HIDDEN)
    w2, counts = rng.normal(size=HIDDEN), rng.normal(size=(5, COUNTS))
    columns = {"count.w1": w1, "count.b1": b1, "count.w2": w2}
    head = CountHead.of({name: one.astype(np.float32) for name, one in columns.items()})

    plain = [sum(w2[h] * max(0.0, row @ w1[:, h] + b1[h]) for h in range(HIDDEN)) for row in counts]

    assert_allclose(head(counts.astype(np.float32)), plain, rtol=1e-4, atol=1e-5)


def test_a_request_says_what_its_person_lately_clicked_and_saw():
    plain, known = (
        encode_requests([RequestFields(country="DEU")])[0],
        encode_request(RequestFields(country="DEU", clicked=(7, 3), seen=(0, 5))),
    )
    first = first_rows(REQUEST_FIELDS)

    changed = known[known != plain]

    assert changed.tolist() == [first["clicked"] + 7, first["clicked"] + 3, first["seen"] + 5]
