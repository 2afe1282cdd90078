"""What the simulated line items target, and which of them a visit fits.

The matching here is the plain definition, for statistics and for training data; the server has
its own, and a test holds the two together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simulator.draw import pick, quantiles
from simulator.visits import Visits
from simulator.world import World

DIMENSIONS = (
    "country region device os browser language hours domain category keyword segment key_value "
    "placement"
)
"""Bit i of `Terms.need` is the i-th; "placement" is no property of a visit but of its slots."""
DIMENSION = {name: i for i, name in enumerate(DIMENSIONS.split())}

HOURS = (
    # value of the dimension "hours": days (0 Monday), first hour, hour after the last; UTC
    ("mon-fri 08-18", range(5), 8, 18),
    ("mon-fri 18-24", range(5), 18, 24),
    ("sat-sun 00-24", range(5, 7), 0, 24),
    ("mon-sun 06-10", range(7), 6, 10),
    ("mon-sun 16-24", range(7), 16, 24),
    ("mon-thu 00-24", range(4), 0, 24),
)


@dataclass(frozen=True, slots=True)
class Terms:
    """[K] values that line items ask for or refuse, sorted by dimension, then by value."""

    dimension: NDArray[np.int8]
    value: NDArray[np.int32]
    """Index into the world's vocabulary of the dimension, or into HOURS."""
    line_item: NDArray[np.int32]
    exclude: NDArray[np.bool_]
    need: NDArray[np.uint16]
    """[L] bit set: the line item asks for values of that dimension."""
    start: dict[tuple[int, int], tuple[int, int]]
    """(dimension, value) -> where its terms lie."""


class _Draft:
    """Collects drawn terms; `draw` adds one dimension of a share of the line items."""

    def __init__(self, rng: np.random.Generator, line_items: int) -> None:
        self.rng = rng
        self.line_items = line_items
        self.parts: list[tuple[int, NDArray[np.int64], NDArray[np.int64], bool]] = []

    def some(self, share: float) -> NDArray[np.int64]:
        return np.flatnonzero(self.rng.random(self.line_items) < share)

    def draw(
        self,
        dimension: str,
        chosen: NDArray[np.int64],
        count: tuple[int, int],
        table: NDArray[np.int16],
        row: NDArray[np.integer] | None = None,
        exclude: bool = False,
    ) -> None:
        """From count[0] to count[1] values each, by the table's row of the line item."""
        counts = self.rng.integers(count[0], count[1] + 1, len(chosen))
        line_item = np.repeat(chosen, counts)
        of = np.zeros(len(line_item), np.int64) if row is None else row[line_item]
        value = pick(table, of, self.rng.random(len(line_item)))
        self.add(dimension, line_item, value, exclude)

    def add(
        self,
        dimension: str,
        line_item: NDArray[np.int64],
        value: NDArray[np.integer],
        exclude: bool = False,
    ) -> None:
        self.parts.append((DIMENSION[dimension], line_item, value.astype(np.int64), exclude))

    def terms(self) -> Terms:
        dimension = np.concatenate([np.full(len(li), d, np.int64) for d, li, _, _ in self.parts])
        line_item = np.concatenate([li for _, li, _, _ in self.parts])
        value = np.concatenate([value for _, _, value, _ in self.parts])
        exclude = np.concatenate([np.full(len(li), e) for _, li, _, e in self.parts])
        return _terms(dimension, value, line_item, exclude, self.line_items)


def _terms(
    dimension: NDArray[np.integer],
    value: NDArray[np.integer],
    line_item: NDArray[np.integer],
    exclude: NDArray[np.bool_],
    line_items: int,
) -> Terms:
    """Sorted; of a value that a line item both asks for and refuses, the first in order stays."""
    key = dimension.astype(np.int64) << 48 | value.astype(np.int64) << 32 | line_item
    key, first = np.unique(key, return_index=True)
    dimension, value, exclude = key >> 48, key >> 32 & 0xFFFF, exclude[first]
    line_item = key & 0xFFFFFFFF
    need = np.zeros(line_items, np.uint16)
    for d in range(len(DIMENSION)):
        need[line_item[(dimension == d) & ~exclude]] |= np.uint16(1 << d)
    return Terms(
        dimension.astype(np.int8),
        value.astype(np.int32),
        line_item.astype(np.int32),
        exclude,
        need,
        _starts(dimension, value),
    )


def joined(parts: Sequence[Terms], line_items: int) -> Terms:
    """Terms of catalogues laid end to end, cut to the first `line_items` line items."""
    shift = np.cumsum([0, *(len(part.need) for part in parts)])
    line_item = np.concatenate(
        [part.line_item + np.int64(by) for part, by in zip(parts, shift[:-1], strict=True)]
    )
    kept = line_item < line_items
    columns = (
        np.concatenate([getattr(part, name) for part in parts])[kept]
        for name in ("dimension", "value", "exclude")
    )
    dimension, value, exclude = columns
    return _terms(dimension, value, line_item[kept], exclude, line_items)


def _starts(
    dimension: NDArray[np.integer], value: NDArray[np.integer]
) -> dict[tuple[int, int], tuple[int, int]]:
    key = dimension.astype(np.int64) << 32 | value
    unique, start = np.unique(key, return_index=True)
    ends = [*start[1:].tolist(), len(key)]
    return {
        (k >> 32, k & 0xFFFFFFFF): (s, e)
        for k, s, e in zip(unique.tolist(), start.tolist(), ends, strict=True)
    }


def draw_terms(world: World, rng: np.random.Generator, category: NDArray[np.int32]) -> Terms:
    """Targeting of line items that advertise the given child categories.

    Most choose countries and about half something more, near their own topic where the dimension
    has topics, so that a usual request fits 3–8 % of the ads of its sizes.
    """
    draft = _Draft(rng, len(category))
    _draw_places(world, draft)
    _draw_hardware(world, draft)
    _draw_subjects(world, draft, category)
    return draft.terms()


def _draw_places(world: World, draft: _Draft) -> None:
    chosen = draft.some(0.85)
    home = np.zeros(draft.line_items, np.int64)
    home[chosen] = pick(quantiles(world.country.weight), 0, draft.rng.random(len(chosen)))
    draft.add("country", chosen, home[chosen])
    wider = chosen[draft.rng.random(len(chosen)) < 0.45]
    draft.draw("country", wider, (1, 5), quantiles(world.country.weight))
    regional = chosen[draft.rng.random(len(chosen)) < 0.14]
    regional = regional[np.diff(world.region_start)[home[regional]] > 0]
    draft.draw("region", regional, (1, 8), world.region_of_country, home)
    speaking = chosen[draft.rng.random(len(chosen)) < 0.12]
    draft.add("language", speaking, world.country_language[home[speaking]])


def _draw_hardware(world: World, draft: _Draft) -> None:
    draft.draw("device", draft.some(0.25), (1, 3), quantiles(world.device.weight))
    draft.draw("os", draft.some(0.06), (1, 3), quantiles(world.os.weight))
    draft.draw("browser", draft.some(0.04), (1, 2), quantiles(world.browser.weight))
    draft.draw("hours", draft.some(0.10), (1, 2), quantiles(np.ones(len(HOURS))))
    draft.draw("placement", draft.some(0.03), (2, 8), quantiles(np.ones(len(world.placement))))


def _draw_subjects(world: World, draft: _Draft, category: NDArray[np.int32]) -> None:
    own = np.searchsorted(world.leaf, category)

    def near(vocabulary: str, power: int) -> NDArray[np.int16]:
        """Values by how often they occur and how close they are to each child category."""
        words = getattr(world, vocabulary)
        closeness = world.category.topic[world.leaf] @ words.topic.T
        return quantiles(words.weight * (0.02 + closeness.astype(np.float64)) ** power)

    context = near("category", 4)
    draft.draw("category", draft.some(0.20), (2, 8), context, own)
    draft.draw("category", draft.some(0.05), (1, 2), quantiles(world.category.weight), exclude=True)
    draft.draw("segment", draft.some(0.20), (4, 16), near("segment", 3), own)
    draft.draw("segment", draft.some(0.03), (1, 2), quantiles(world.segment.weight), exclude=True)
    draft.draw("keyword", draft.some(0.14), (6, 40), near("keyword", 4), own)
    draft.draw("domain", draft.some(0.03), (10, 60), near("domain", 3), own)
    draft.draw("domain", draft.some(0.06), (1, 5), quantiles(world.domain.weight), exclude=True)
    draft.draw("key_value", draft.some(0.03), (2, 6), quantiles(world.key_value.weight))
    draft.draw(
        "key_value", draft.some(0.01), (1, 1), quantiles(world.key_value.weight), exclude=True
    )


def fitting(world: World, terms: Terms, sample: Visits, i: int) -> NDArray[np.bool_]:
    """[L] line items whose targeting visit `i` meets; about 0.2 ms at 20 000 line items."""
    met = np.zeros(len(terms.need), np.uint16)
    refused = np.zeros(len(terms.need), bool)
    for dimension, value in visit_terms(world, sample, i):
        start, end = terms.start.get((dimension, value), (0, 0))
        line_item, exclude = terms.line_item[start:end], terms.exclude[start:end]
        met[line_item[~exclude]] |= np.uint16(1 << dimension)
        refused[line_item[exclude]] = True
    fits: NDArray[np.bool_] = ((met & terms.need) == terms.need) & ~refused
    return fits


def visit_terms(world: World, sample: Visits, i: int) -> list[tuple[int, int]]:
    """(dimension, value) of everything that targeting can see of visit `i`; parents included."""
    single = ["country", "region", "device", "os", "browser", "language", "domain"]
    found = [(DIMENSION[name], int(getattr(sample, name)[i])) for name in single]
    weekday, hour = int(sample.weekday[i]), int(sample.hour[i])
    for h, (_, days, first, end) in enumerate(HOURS):
        if weekday in days and first <= hour < end:
            found.append((DIMENSION["hours"], h))
    for name in ("category", "keyword", "segment", "key_value", "placement"):
        found += [(DIMENSION[name], int(v)) for v in getattr(sample, name)[i] if v >= 0]
    parents = {int(world.category_parent[v]) for v in sample.category[i] if v >= 0}
    return found + [(DIMENSION["category"], parent) for parent in sorted(parents)]
