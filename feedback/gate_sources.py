"""Where the pages come from that the gate replays."""

from __future__ import annotations

from pathlib import Path

from auction.settings import AuctionSettings
from feedback.gate_pages import PageSettings, pages_of
from feedback.gate_replay import replay_of
from ranking.dataset import Impressions
from ranking.gate import Replay


def replay_newest(table: Path, pages: int, rules: AuctionSettings) -> Replay | None:
    """Of pages made from the newest impressions in the .npz file; None where none are wanted."""
    if pages < 1:
        return None
    return replay_of(pages_of(Impressions.load(table), PageSettings(pages=pages)), rules)
