"""The true click probability of every impression of the simulated marketplace.

It is a logistic model over topics and traits that no server sees as such: what the user and the
page are about (from segments, keywords and categories), what the ad is about, how good the
advertiser and the creative are, and where, when and on what the ad is shown. Bulk simulation is
numpy over rows: describe the visits once, the ads once, then ask for any pairs of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.catalogue import Catalogue
from simulator.draw import hashed_uniform, normalised
from simulator.visits import Visits
from simulator.world import TOPICS, World

LEAST, MOST = 0.0005, 0.15
BASE = -6.25
"""Log-odds of a mediocre ad for an indifferent user; about 1 % of usual impressions are clicked."""
USER_AFFINITY, PAGE_AFFINITY = 3.6, 2.0
LANGUAGE_PENALTY = -0.5
"""A user who does not speak the country's main language reads fewer of its ads."""

DEVICE_EFFECT = {"phone": 0.15, "desktop": -0.1, "tablet": 0.1, "tv": -1.2}
SHAPE_EFFECT = {  # on a phone, elsewhere; a wide banner is lost on a phone
    "wide": (-0.35, -0.05),
    "box": (0.15, 0.2),
    "tall": (-0.2, 0.1),
    "small": (0.1, -0.5),
}
EVENING_TOPICS, WORK_TOPICS = (0, 7, 8, 16, 19), (2, 3, 4, 18)


@dataclass(frozen=True, slots=True)
class Appeal:
    """The ads of one catalogue as the truth sees them; [N] rows."""

    topic: NDArray[np.float32]
    """[N, TOPICS], rows of length one."""
    bias: NDArray[np.float32]
    """Log-odds of advertiser, creative, offer and call to action."""
    size: NDArray[np.int16]
    top: NDArray[np.int32]
    """Top category."""


@dataclass(frozen=True, slots=True)
class Audience:
    """Visits as the truth sees them; [B] rows."""

    user_topic: NDArray[np.float32]
    page_topic: NDArray[np.float32]
    """[B, TOPICS], rows of length one; zero where nothing is known."""
    bias: NDArray[np.float32]
    """Log-odds of the user's own clicking, of device and of language."""
    phone: NDArray[np.bool_]
    hour: NDArray[np.int32]


def appeal(catalogue: Catalogue) -> Appeal:
    """Every ad of the catalogue."""
    world, ads = catalogue.world, catalogue.ads
    category = catalogue.campaigns.category[catalogue.ad_campaign()]
    offers = trait(ads.offer.astype(np.int64), 50, 0.25) + trait(ads.call.astype(np.int64), 51, 0.2)
    quality = catalogue.advertisers.quality[catalogue.ad_advertiser()] + ads.quality
    noun = world.category_parent[category] * 8 + ads.noun
    second = (hashed_uniform(noun.astype(np.int64), 52) * TOPICS).astype(np.int64)
    topic = world.category.topic[category].copy()
    topic[np.arange(len(ads)), second] += 0.35
    return Appeal(
        topic=normalised(topic),
        bias=(quality + offers).astype(np.float32),
        size=ads.size,
        top=world.category_parent[category],
    )


def audience(world: World, sample: Visits) -> Audience:
    """Every visit of the sample."""
    segments = summed(world.segment.topic, sample.segment)
    keywords = summed(world.keyword.topic, sample.keyword)
    pages = summed(world.category.topic, sample.category)
    effect = np.array([DEVICE_EFFECT[name] for name in world.device.name])
    foreign = sample.language != world.country_language[sample.country]
    bias = trait(sample.user, 60, 0.3) + effect[sample.device] + LANGUAGE_PENALTY * foreign
    return Audience(
        user_topic=normalised(segments),
        page_topic=normalised(pages + 0.7 * keywords),
        bias=bias.astype(np.float32),
        phone=sample.device == world.device.name.index("phone"),
        hour=sample.hour,
    )


def summed(topic: NDArray[np.float32], bag: NDArray[np.int32]) -> NDArray[np.float32]:
    """[B, TOPICS] sum of the topics of each row's bag; a column at a time bounds the memory."""
    total = np.zeros((len(bag), TOPICS), np.float32)
    for column in bag.T:
        total += topic[column] * (column >= 0)[:, None]
    return total


def trait(key: NDArray[np.int64], stream: int, spread: float) -> NDArray[np.float64]:
    """A lasting trait of standard deviation `spread`, mean zero, uniformly distributed."""
    log_odds: NDArray[np.float64] = (hashed_uniform(key, stream) - 0.5) * spread * np.sqrt(12.0)
    return log_odds


def ctr(
    world: World,
    who: Audience,
    visit: NDArray[np.integer],
    what: Appeal,
    ad: NDArray[np.integer],
    position: NDArray[np.integer],
) -> NDArray[np.float64]:
    """[P] true click probability of ad row `ad` shown on visit row `visit` at `position`.

    `position` counts from the top of the page (Placement.position). All three are [P] and may
    repeat rows; within LEAST…MOST always. About 0.3 µs a pair.
    """
    topic = what.topic[ad]
    drawn = USER_AFFINITY * np.einsum("pt,pt->p", who.user_topic[visit], topic)
    drawn += PAGE_AFFINITY * np.einsum("pt,pt->p", who.page_topic[visit], topic)
    shape = shape_effect(world)[what.size[ad], who.phone[visit].astype(np.int64)]
    hour = hour_effect()[what.top[ad], who.hour[visit]]
    seen = -0.22 * np.asarray(position)
    logit = BASE + drawn + who.bias[visit] + what.bias[ad] + shape + hour + seen
    probability: NDArray[np.float64] = 1.0 / (1.0 + np.exp(-logit.astype(np.float64)))
    return probability.clip(LEAST, MOST)


def shape_effect(world: World) -> NDArray[np.float64]:
    """[sizes, 2] by whether the device is a phone."""
    return np.array([SHAPE_EFFECT[shape(w, h)][::-1] for w, h in world.sizes])


def shape(width: int, height: int) -> str:
    """wide, box, tall or small: what a size is to the eye."""
    if width * height <= 32_000:
        return "small"
    if width > 2 * height:
        return "wide"
    return "tall" if height >= 2 * width else "box"


def hour_effect() -> NDArray[np.float64]:
    """[top categories, 24] leisure is clicked in the evening, business during the day."""
    effect = np.zeros((64, 24))
    hour = np.arange(24)
    evening = 0.35 * np.cos((hour - 20) / 24 * 2 * np.pi)
    work = 0.35 * np.cos((hour - 12) / 24 * 2 * np.pi)
    effect[list(EVENING_TOPICS)] = evening
    effect[list(WORK_TOPICS)] = work
    return effect
