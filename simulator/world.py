"""The simulated marketplace's vocabularies and the latent topics behind them.

Everything that a page, a user or an ad can be about is a direction in one small topic space,
so that a true click probability can be written down. Knows neither ads nor requests.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator import names
from simulator.draw import normalised, quantiles, zipf

TOPICS = 20
DOMAINS = 2_000
SEGMENTS = 400
PLACEMENTS = 40


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Values, how often each occurs, and where each lies in topic space."""

    name: tuple[str, ...]
    weight: NDArray[np.float64]
    topic: NDArray[np.float32]
    """[n, TOPICS], rows of length one, nothing negative; [n, 0] where topics make no sense."""

    def __len__(self) -> int:
        return len(self.name)


@dataclass(frozen=True, slots=True)
class Placement:
    """A kind of zone that many publishers offer."""

    key: str
    sizes: tuple[int, ...]
    """Indices of World.sizes."""
    position: int
    """0 is the top of the page; truth falls with it."""
    devices: tuple[int, ...]
    floor_micros: int


class World:
    """Equal seeds give equal worlds on any machine; nothing changes it once made.

    Tables are for `draw.pick`: one row per value of what they depend on.
    """

    def __init__(self, seed: int = 1) -> None:
        rng = np.random.default_rng([seed, 0])
        self.seed = seed
        self._places()
        self._hardware()
        self._subjects(rng)
        self.key_value = _plain(_key_values(), zipf(200, 0.9))
        self.sizes = tuple((w, h) for w, h, _ in names.SIZES)
        self.size_weight = np.array([share for _, _, share in names.SIZES])
        self.placement = _placements(rng)
        self.topic_weight = zipf(TOPICS, 0.5)
        """[TOPICS] how many users have each as their main interest."""

    def _places(self) -> None:
        spoken = names.LANGUAGES.split()
        codes = [names.REGIONS.get(two, "").split() for _, two, _ in names.COUNTRIES]
        counts = np.array([len(one) for one in codes])
        country_weight = zipf(len(names.COUNTRIES), 1.0)
        self.country = _plain([three for three, _, _ in names.COUNTRIES], country_weight)
        self.alpha2 = tuple(two for _, two, _ in names.COUNTRIES)
        self.country_language = np.array(
            [spoken.index(main) for _, _, main in names.COUNTRIES], np.int32
        )
        self.region = _plain(
            [f"{two}-{code}" for two, own in zip(self.alpha2, codes, strict=True) for code in own],
            np.concatenate([zipf(n, 0.8) for n in counts if n]),
        )
        self.region_country = np.repeat(np.arange(len(counts)), counts).astype(np.int32)
        self.region_start = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        """[countries + 1] a country's regions are region_start[c]:region_start[c + 1]."""
        inside = np.zeros((len(self.country), len(self.region)))
        inside[self.region_country, np.arange(len(self.region))] = self.region.weight
        self.region_of_country = quantiles(np.maximum(inside, 1e-12))
        speakers = np.bincount(self.country_language, country_weight, len(spoken))
        self.language = _plain(spoken, speakers + 1e-3)

    def _hardware(self) -> None:
        systems, browsers = list(names.BROWSERS), list(names.ENGINES)
        share = np.array([share for share, _ in names.DEVICES.values()])
        by_device = np.array(
            [[of.get(system, 0.0) for system in systems] for _, of in names.DEVICES.values()]
        )
        by_os = np.array(
            [[of.get(browser, 0.0) for browser in browsers] for of in names.BROWSERS.values()]
        )
        self.device = _plain(list(names.DEVICES), share)
        self.os = _plain(systems, share @ by_device)
        self.browser = _plain(browsers, share @ by_device @ by_os)
        self.os_of_device = quantiles(by_device)
        self.browser_of_os = quantiles(by_os)

    def _subjects(self, rng: np.random.Generator) -> None:
        self.category, self.category_parent = _categories(rng)
        """Parents first ("IAB1" …), then children; a parent's parent is itself."""
        own = np.arange(len(self.category))
        self.leaf = np.flatnonzero(self.category_parent != own).astype(np.int32)
        self.domain, self.domain_category = _domains(rng, self.category, self.leaf)
        """domain_category: [domains, 3] child categories, -1 for none."""
        self.keyword = _keywords(rng, self.category)
        eye = np.eye(TOPICS)
        main, second = rng.integers(0, TOPICS, (2, SEGMENTS))
        mixed = eye[main] + 0.5 * eye[second] + 0.08 * rng.random((SEGMENTS, TOPICS))
        name = tuple(f"s{i + 1}" for i in range(SEGMENTS))
        self.segment = Vocabulary(name, zipf(SEGMENTS, 0.7), normalised(mixed))


def _plain(name: list[str], weight: NDArray[np.floating]) -> Vocabulary:
    return Vocabulary(tuple(name), weight / weight.sum(), np.zeros((len(name), 0), np.float32))


def _categories(rng: np.random.Generator) -> tuple[Vocabulary, NDArray[np.int32]]:
    top = len(names.CATEGORIES)
    eye = np.eye(TOPICS)
    own = eye[np.arange(top) % TOPICS] + 0.6 * eye[rng.integers(0, TOPICS, top)]
    counts = np.array([children for _, children, _ in names.CATEGORIES])
    parent = np.concatenate([np.arange(top), np.repeat(np.arange(top), counts)]).astype(np.int32)
    spread = own[parent] + 0.12 * rng.random((len(parent), TOPICS))
    spread[top:] += 0.7 * eye[rng.integers(0, TOPICS, len(parent) - top)]
    name = [f"IAB{i + 1}" for i in range(top)] + [
        f"IAB{i + 1}-{j + 1}" for i in range(top) for j in range(counts[i])
    ]
    shuffled = rng.permutation(zipf(len(parent), 0.6))
    return Vocabulary(tuple(name), shuffled, normalised(spread)), parent


def _keywords(rng: np.random.Generator, category: Vocabulary) -> Vocabulary:
    modifiers = names.MODIFIERS.split(" ")
    nouns = [
        (c, noun) for c, (_, _, words) in enumerate(names.CATEGORIES) for noun in words.split()
    ]
    name = [f"{mod} {noun}".strip() for mod in modifiers for _, noun in nouns]
    about = np.array([c for _ in modifiers for c, _ in nouns])
    second = np.tile(rng.integers(0, TOPICS, len(nouns)), len(modifiers))
    topic = category.topic[about] + 0.35 * np.eye(TOPICS)[second]
    rank = np.concatenate(
        [rng.permutation(len(nouns)) + len(nouns) * m for m in range(len(modifiers))]
    )
    return Vocabulary(tuple(name), zipf(len(name), 0.8)[rank], normalised(topic))


def _domains(
    rng: np.random.Generator, category: Vocabulary, children: NDArray[np.int32]
) -> tuple[Vocabulary, NDArray[np.int32]]:
    weight = category.weight[children] / category.weight[children].sum()
    own = rng.choice(children, (DOMAINS, 3), p=weight).astype(np.int32)
    own[rng.random(DOMAINS) < 0.5, 1] = -1
    own[rng.random(DOMAINS) < 0.7, 2] = -1
    own[own[:, 1] == own[:, 0], 1] = -1
    own[(own[:, 2] == own[:, 0]) | (own[:, 2] == own[:, 1]), 2] = -1
    topic = category.topic[own] * (own >= 0)[:, :, None]
    heads, tails = names.NAME_HEADS.split(), names.SITE_TAILS.split()
    name = [
        f"{heads[i % len(heads)].lower()}{tails[i // len(heads) % len(tails)]}"
        f"{i // (len(heads) * len(tails)) or ''}.example"
        for i in range(DOMAINS)
    ]
    return Vocabulary(tuple(name), zipf(DOMAINS, 0.85), normalised(topic.sum(axis=1))), own


def _key_values() -> list[str]:
    """Two hundred "key=value" pairs of the kind that publishers send."""
    section = [f"section={name.split()[0].lower()}" for name, _, _ in names.CATEGORIES]
    author = [f"author={head.lower()}" for head in names.NAME_HEADS.split()]
    small = ["paid=no", "paid=yes", "template=article", "template=gallery", "template=home"]
    return (section + small + author + [f"tag=t{i}" for i in range(200)])[:200]


def _placements(rng: np.random.Generator) -> tuple[Placement, ...]:
    """Forty kinds: wide, box, tall and mobile shapes at positions from the top down."""
    shapes = [  # indices of SIZES that are sold together, and the devices that show them
        ((1, 9, 5, 8), (1, 3)),
        ((0, 6, 11), (0, 1, 2, 3)),
        ((3, 4, 10), (1, 2)),
        ((2, 7, 0), (0, 2)),
        ((0, 3), (0, 1, 2)),
    ]
    placements = []
    for i in range(PLACEMENTS):
        sizes, devices = shapes[i % len(shapes)]
        kept = sizes[: 1 + int(rng.integers(0, len(sizes)))]
        floor = int(rng.choice([10, 20, 50, 100, 200])) * 1_000
        placements.append(Placement(f"z{i + 1}", kept, i // len(shapes), devices, floor))
    return tuple(placements)
