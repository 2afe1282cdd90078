"""The loops that a request waits for, compiled; one file per step.

Each has a readable oracle in the tests.
"""

from retrieval.kernels.best import Ads, Ask, Work
from retrieval.kernels.bits import CHUNK, FINE, HEAD, SPAN
from retrieval.kernels.funnel import count_misfits
from retrieval.kernels.matching import match
from retrieval.kernels.scan import count_eligible, retrieve, retrieve_some
from retrieval.kernels.standing import middle_of_lines, top_of_lines

__all__ = [
    "CHUNK",
    "FINE",
    "HEAD",
    "SPAN",
    "Ads",
    "Ask",
    "Work",
    "count_eligible",
    "count_misfits",
    "match",
    "middle_of_lines",
    "retrieve",
    "retrieve_some",
    "top_of_lines",
]
