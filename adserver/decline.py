"""The answer to a request that cannot be decided in time: at once, empty, with its reason.

Nobody waits for an ad that will not come, and no page sees a failure.
"""

from __future__ import annotations

from adserver.decision import Decision, Funnel, Outcome
from adserver.request import AdRequest
from auction.columns import Rejection

NOTHING = 4
"""Decision quality: nothing was decided."""


def declined(
    request: AdRequest, number: int, snapshot: int, model: str, took_ms: float
) -> Decision:
    return Decision(
        id=f"{number:016x}",
        request=request,
        outcomes=tuple(Outcome(slot, None, Rejection.SHED) for slot in request.slots),
        quality=NOTHING,
        snapshot=snapshot,
        model=model,
        funnel=Funnel(),
        stage_ms={},
        took_ms=took_ms,
    )
