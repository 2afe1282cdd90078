"""The simulated marketplace's log in the click model's terms: the one place that knows both."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ranking.columns import Coded, RequestColumns, encode_request_columns
from ranking.dataset import Impressions
from ranking.features import (
    AdFields,
    encode_ads,
    encode_slot,
    words_of,
)
from simulator.catalogue import Catalogue, catalogue
from simulator.impressions import Shown, ad_columns, impressions, request_columns, slot_names
from simulator.visits import SLOTS
from simulator.world import World

Progress = Callable[[str, float], None]


def simulated(
    ads: int,
    visits: int,
    seed: int,
    progress: Progress = lambda stage, share: None,
) -> Impressions:
    """About 1.7 impressions a visit on the catalogue that `adserver demo` makes of `ads` ads.

    About 25 s per million visits. The catalogue is always the default one; `seed` draws the visits.
    """
    world = World()
    market = catalogue(world, ads)
    slots = _slots(world)
    requests, columns, seen = [], [], 0
    for shown in impressions(market, visits, np.random.default_rng(seed)):
        requests.append(_requests(world, shown))
        slot = slots[shown.placement, shown.number]
        columns.append((shown.of + np.int32(seen), shown.ad, slot, shown.click, shown.truth))
        seen += len(shown.visit)
        progress("impressions", seen / visits)
    of, ad, slot, click, truth = (np.concatenate(part) for part in zip(*columns, strict=True))
    request = np.concatenate(requests)
    return Impressions.uncounted(request, encoded_ads(market), of, ad, slot, click, truth)


def encoded_ads(market: Catalogue) -> NDArray[np.int32]:
    """Every ad of a simulated catalogue, encoded as the snapshot builder encodes the same ads."""
    columns = ad_columns(market)
    words = [words_of(text) for text in columns.pop("text")]
    return encode_ads(AdFields(**columns, words=words))


def _requests(world: World, shown: Shown) -> NDArray[np.int32]:
    fields: dict[str, Any] = {
        name: Coded(*column) if isinstance(column, tuple) else column
        for name, column in request_columns(world, shown.visit).items()
    }
    return encode_request_columns(RequestColumns(**fields))


def _slots(world: World) -> NDArray[np.int32]:
    """[placements, numbers, 3] every slot that a visit can have."""
    return np.array(
        [[encode_slot(*one, number) for number in range(SLOTS)] for one in slot_names(world)]
    )
