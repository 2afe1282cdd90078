"""Ten thousand hostile bodies through the wire formats: a request, or a refusal that helps."""

from __future__ import annotations

import json
from collections import Counter

import pytest
from hostile import KINDS, Hostile, hostile
from valid_bodies import BODIES
from wire_cases import decided, sold_everywhere, urls

from adserver.errors import BadRequest
from adserver.request import AdRequest, Dialect
from adserver.wire import body, decision, openrtb

DIALECTS = {
    "/v1/decision": Dialect.DECISION,
    "/openrtb2/auction": Dialect.AUCTION,
    "/openrtb2/bid": Dialect.BID,
}


def parsed(case: Hostile) -> AdRequest:
    plain = body.read(case.body, case.headers.get("Content-Encoding", ""))
    dialect = DIALECTS[case.path]
    if dialect is Dialect.DECISION:
        return decision.parse(plain)
    return openrtb.parse(plain, dialect)


def rendered(request: AdRequest) -> bytes:
    answer = sold_everywhere(request)
    if request.dialect is Dialect.DECISION:
        return decision.render(answer, urls)
    return openrtb.render(answer, urls)[1]


def refusal(case: Hostile) -> BadRequest | None:
    """None for a body that was understood, and whose answer could be written."""
    try:
        request = parsed(case)
    except BadRequest as error:
        return error
    json.loads(rendered(request) or b"null")
    return None


def test_every_hostile_body_is_understood_or_refused_with_its_field():
    outcomes: Counter[bool] = Counter()

    for case in hostile(seed=20, count=10_000):
        error = refusal(case)
        outcomes[error is None] += 1
        if error is not None:
            assert error.field, case
            assert error.message, case
            assert error.status in {400, 413}, case
            assert json.loads(json.dumps(error.body()))["error"]["code"], case

    assert min(outcomes.values()) > 1000


def test_the_bodies_are_the_same_for_the_same_seed():
    assert list(hostile(3, 200)) == list(hostile(3, 200))
    assert list(hostile(3, 200)) != list(hostile(4, 200))


def test_there_are_many_kinds_and_all_come_up():
    assert len(KINDS) >= 30
    assert {case.note for case in hostile(1, len(KINDS))} == set(KINDS)


@pytest.mark.parametrize("path", BODIES)
def test_the_bodies_are_valid_before_they_are_spoilt(path):
    request = parsed(Hostile(path, {}, json.dumps(BODIES[path]).encode(), "valid"))

    assert json.loads(rendered(request))
    assert decided(request).outcomes == ()
