"""In whose sums each slot's exposure counts: the site, its publisher, its placement, a segment.

Knows requests; what a share is held by is `auction.fairness`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from adserver.encode import Encoded
from adserver.request import AdRequest, Slot
from auction.fairness import NOWHERE, SITE, Exposure
from auction.fairness_rules import ScopeKind


def in_scopes(encoded: Encoded, requests: Sequence[AdRequest], exposure: Exposure) -> Encoded:
    """The batch with each slot's scopes; as it was when only the site has a rule.

    Of a request's segments the first that a rule is about counts: a sale is one exposure.
    """
    if not exposure.kinds:
        return encoded
    rows = [
        _scopes(request, slot, segment, exposure)
        for request in requests
        for segment in (_segment(request, exposure),)
        for slot in request.slots
    ]
    scope: NDArray[np.int32] = np.array(rows, np.int32)
    return replace(encoded, slots=replace(encoded.slots, scope=scope))


def _scopes(request: AdRequest, slot: Slot, segment: int, exposure: Exposure) -> list[int]:
    """In the order of `ScopeKind`."""
    publisher = exposure.scope(ScopeKind.PUBLISHER, request.publisher)
    return [SITE, publisher, exposure.scope(ScopeKind.PLACEMENT, slot.placement), segment]


def _segment(request: AdRequest, exposure: Exposure) -> int:
    scopes = (exposure.scope(ScopeKind.SEGMENT, segment) for segment in request.segments)
    return next((scope for scope in scopes if scope != NOWHERE), NOWHERE)
