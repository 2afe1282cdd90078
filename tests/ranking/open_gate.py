"""Limits that any model keeps: for tests whose data are too few to judge by."""

from __future__ import annotations

from ranking.gate import GateSettings

OPEN = GateSettings(0.05, 0.9, 0.05, 0.05, ece=1.0, ece_share=1.0)
"""Twenty clicks to judge by are no judgement."""
