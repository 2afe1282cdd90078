"""POST /v1/decision: our own dialect, the one that shows everything."""

from adserver.wire.decision_answer import render
from adserver.wire.decision_request import parse

__all__ = ["parse", "render"]
