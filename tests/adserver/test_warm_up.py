"""What a worker has done once before it says that it is ready."""

from __future__ import annotations

import asyncio

from catalogue_sample import fresh_place

from adserver.deadline import REAL
from adserver.settings import Settings
from adserver.worker import Worker
from ranking.scorer import FALLBACK, FULL
from ranking.tiers import Ranks


def test_it_has_scored_by_the_model_and_by_the_fallback(tmp_path, monkeypatch):
    qualities, score = [], Ranks.score
    place = fresh_place(tmp_path)
    settings = Settings(
        adserver_data=place.folder, database_url=place.url, scorer="local",
        adserver_token_key="a-key-for-tests-only-0123456789", state_bytes=64 << 20,
    )  # fmt: skip

    async def heard(*arguments):
        scores = await score(*arguments)
        qualities.append(scores.quality)
        return scores

    async def scenario():
        worker = Worker(settings, 0, REAL)
        await worker.warm_up()
        await worker.stop()

    monkeypatch.setattr(Ranks, "score", heard)
    asyncio.run(scenario())

    assert set(qualities) == {FULL, FALLBACK}
