import numpy as np
import plain_retrieval as plain
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal


def bits(words: np.ndarray, count: int) -> np.ndarray:
    return np.unpackbits(words.view(np.uint8), bitorder="little")[:count].astype(bool)


@settings(deadline=None, max_examples=300)
@given(plain.catalogues, st.lists(plain.requests, min_size=1, max_size=3))
def test_a_line_item_matches_when_every_rule_of_its_targeting_holds(catalogue, requests):
    index, live = plain.index_of(catalogue), plain.live_of(catalogue)

    for request in requests:
        match = index.match(plain.query_of(request, index), live.line_item)

        assert_array_equal(
            bits(match.words, len(catalogue)),
            [plain.line_matches(line, request) for line in catalogue],
        )
        for line, slots in zip(catalogue, match.line_slots, strict=True):
            assert slots == (plain.line_slots(line, request) if line.placements else 0)
