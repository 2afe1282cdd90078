"""One code for one reason, although the libraries do not know each other."""

from __future__ import annotations

from auction.columns import Rejection
from retrieval.funnel import Misfit


def test_a_targeting_misfit_has_the_code_of_the_rejection_that_it_becomes():
    for misfit in Misfit:
        assert Rejection(misfit.value).name == misfit.name


def test_rejection_codes_fit_a_byte_and_are_distinct():
    assert len({code.value for code in Rejection}) == len(Rejection.__members__)
    assert max(Rejection) < 256
