"""A candidate against the model in production, both as served, on impressions that neither learnt.

A canary costs people and days; what already ranks worse on the newest clicks need not have one.
"""

from __future__ import annotations

from typing import Any

from ranking import gate, judge
from ranking.bundle import Bundle
from ranking.dataset import Impressions
from ranking.gate import GateSettings, Replay, Report

CHALLENGE = "challenge.json"
"""The report in a run's folder; the manifest has the same under "challenge"."""


def challenge(
    candidate: Bundle,
    incumbent: Bundle,
    newest: Impressions,
    limits: GateSettings,
    replay: Replay | None = None,
) -> Report:
    """What `gate.candidate` says of R labelled impressions, newer than both models' training data.

    Scores are those of the released files, maps included. Each difference is between the same rows,
    resampled together: twins differ by exactly nothing, however few the clicks. `report.require()`
    raises GateRefused with the numbers.
    """
    models = (incumbent, candidate)
    scorers = tuple(judge.served(one) for one in models)
    maps = (incumbent.calibration, candidate.calibration)
    numbers = judge.compared(newest, (scorers[0](newest), scorers[1](newest)), maps)
    replayed = None
    if replay is not None:
        rates = [judge.rate(score, one) for score, one in zip(scorers, maps, strict=True)]
        replayed = replay(rates[0], rates[1])
    return gate.candidate(numbers, replayed, limits)


def told(report: Report, incumbent: Bundle) -> dict[str, Any]:
    """For a manifest: the report, and against whom."""
    return report.as_json() | {"incumbent": incumbent.version}
