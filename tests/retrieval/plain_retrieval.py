"""Retrieval as one would write it with no thought of speed: sets, loops, and plain numpy.

The oracle of the tests of `retrieval`, and small catalogues for them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
from hypothesis import strategies as st

from retrieval import indexing
from retrieval.funnel import OF_DIMENSION, Misfit
from retrieval.kernels import FINE, HEAD
from retrieval.planner import Retriever
from retrieval.query import DIMENSIONS, Candidates, Dimension, Live, Query
from retrieval.settings import RetrievalSettings
from retrieval.targeting import TargetingIndex, Term
from retrieval.vectors import AdVectors

SIZES = 3
WORDS = ("one", "two", "three")
CATEGORIES = ("IAB1", "IAB1-2", "IAB2", "IAB2-1")
DOMAINS = ("shop.example", "www.shop.example", "a.www.shop.example", "tea.example", "example")
PLACEMENTS = ("top", "side")
WIDTH = 6
WIDE = 24  # more dimensions than are tried first


@dataclass
class Ad:
    size: int = 0
    attributes: int = 0
    secure: bool = True
    per_click: bool = True
    alive: bool = True
    base: float = 0.0
    vector: tuple[float, ...] = (0.0,) * WIDTH


@dataclass
class LineItem:
    ads: list[Ad] = field(default_factory=lambda: [Ad()])
    include: dict[Dimension, set[str]] = field(default_factory=dict)
    exclude: dict[Dimension, set[str]] = field(default_factory=dict)
    categories: set[str] = field(default_factory=set)
    domains: set[str] = field(default_factory=set)
    placements: set[str] = field(default_factory=set)
    live: bool = True


@dataclass
class Slot:
    placement: str = ""
    sizes: set[int] = field(default_factory=lambda: set(range(SIZES)))
    blocked_attributes: int = 0
    secure: bool = False


@dataclass
class Request:
    values: dict[Dimension, set[str]] = field(default_factory=dict)
    slots: list[Slot] = field(default_factory=lambda: [Slot()])
    blocked_categories: set[str] = field(default_factory=set)
    blocked_domains: set[str] = field(default_factory=set)
    vector: tuple[float, ...] = (0.0,) * WIDTH
    bias: float = 0.0


# --- the same catalogue and request in retrieval's own terms -----------------------------------


def rows_by_value(sets: list[set[str]]) -> list[tuple[str, np.ndarray]]:
    """Each value with the numbers of the sets that hold it."""
    return [
        (value, np.array([n for n, held in enumerate(sets) if value in held], np.int32))
        for value in sorted(set().union(*sets))
    ]


def terms(catalogue: list[LineItem]):
    for dimension in Dimension:
        for exclude in (False, True):
            sets = [(line.exclude if exclude else line.include) for line in catalogue]
            for value, rows in rows_by_value([held.get(dimension, set()) for held in sets]):
                yield Term(dimension, value, rows, exclude)


def index_of(catalogue: list[LineItem]) -> TargetingIndex:
    return indexing.build(len(catalogue), *said_of(catalogue))


def said_of(catalogue: list[LineItem]):
    """Targeting, own categories, own domains and placements, for `retrieval.indexing`."""
    return (
        terms(catalogue),
        rows_by_value([line.categories for line in catalogue]),
        rows_by_value([line.domains for line in catalogue]),
        rows_by_value([line.placements for line in catalogue]),
    )


def grown_index(old: TargetingIndex, after: list[LineItem], anew: list[int]) -> TargetingIndex:
    """The index of `after` made of an older one, told only of the rows `anew`."""
    told = [line if n in anew else LineItem() for n, line in enumerate(after)]
    return indexing.grow(old, len(after), np.array(anew, np.int32), *said_of(told))


def ads_of(catalogue: list[LineItem]) -> list[Ad]:
    return [ad for line in catalogue for ad in line.ads]


def live_of(catalogue: list[LineItem]) -> Live:
    bits = np.zeros(64 * max(1, -(-len(catalogue) // 64)), np.bool_)
    bits[: len(catalogue)] = [line.live for line in catalogue]
    ads = ads_of(catalogue)
    return Live(
        np.packbits(bits, bitorder="little").view(np.uint64),
        np.array([ad.alive for ad in ads], np.uint8),
        np.array([ad.base for ad in ads], np.float32),
    )


def vectors_of(catalogue: list[LineItem], settings: RetrievalSettings) -> AdVectors:
    ads = ads_of(catalogue)
    dimensions = len(ads[0].vector) if ads else WIDTH
    return AdVectors.build(
        np.array([ad.vector for ad in ads], np.float32).reshape(len(ads), dimensions),
        np.array([ad.per_click for ad in ads], np.bool_),
        np.array([ad.base for ad in ads], np.float32),
        settings,
    )


def retriever_of(catalogue: list[LineItem], settings: RetrievalSettings | None = None) -> Retriever:
    settings = settings or RetrievalSettings()
    ads = ads_of(catalogue)
    return Retriever(
        index_of(catalogue),
        vectors_of(catalogue, settings),
        np.cumsum([0, *(len(line.ads) for line in catalogue)]).astype(np.int32),
        np.array([ad.size for ad in ads], np.int16),
        np.array([ad.attributes for ad in ads], np.uint32),
        np.array([ad.secure for ad in ads], np.uint8),
        settings,
    )


def query_of(request: Request, index: TargetingIndex) -> Query:
    term: list[int] = []
    start = [0]
    for dimension in Dimension:
        term += index.terms(dimension, sorted(request.values.get(dimension, ())))
        start.append(len(term))
    assert len(start) == DIMENSIONS + 1
    slots = request.slots
    return Query(
        term=np.array(term, np.int32),
        term_start=np.array(start, np.int32),
        blocked=np.array(
            index.blocked(request.blocked_categories, request.blocked_domains), np.int32
        ),
        slot_placement=np.array([index.placement(s.placement) for s in slots], np.int32),
        slots_by_size=np.array(
            [sum(1 << n for n, s in enumerate(slots) if size in s.sizes) for size in range(SIZES)],
            np.uint32,
        ),
        blocked_attribute=np.array([s.blocked_attributes for s in slots], np.uint32),
        secure=np.uint32(sum(1 << n for n, s in enumerate(slots) if s.secure)),
        vector=np.array(request.vector, np.float32),
        bias=request.bias,
    )


# --- the rules, one line item and one ad at a time ---------------------------------------------


def domain_refused(own: str, blocked: str) -> bool:
    """A blocked domain covers itself and what lies below it, and its parents themselves."""
    if own == blocked or ("." in blocked and own.endswith("." + blocked)):
        return True
    return "." in own and blocked.endswith("." + own)


def category_refused(own: str, blocked: str) -> bool:
    return own == blocked or own.startswith(blocked + "-")


def misfit(line: LineItem, request: Request) -> Dimension | None:
    """The first dimension in which the line item does not want the request."""
    for dimension in Dimension:
        values = request.values.get(dimension, set())
        wanted = line.include.get(dimension)
        if wanted and not wanted & values:
            return dimension
        if line.exclude.get(dimension, set()) & values:
            return dimension
    return None


def advertiser_refused(line: LineItem, request: Request) -> bool:
    return any(domain_refused(o, b) for o in line.domains for b in request.blocked_domains)


def own_category_refused(line: LineItem, request: Request) -> bool:
    return any(category_refused(o, b) for o in line.categories for b in request.blocked_categories)


def line_matches(line: LineItem, request: Request) -> bool:
    return (
        line.live
        and misfit(line, request) is None
        and not advertiser_refused(line, request)
        and not own_category_refused(line, request)
        and bool(line_slots(line, request))
    )


def line_slots(line: LineItem, request: Request) -> int:
    return sum(
        1 << n
        for n, slot in enumerate(request.slots)
        if not line.placements or slot.placement in line.placements
    )


def ad_slots(ad: Ad, request: Request) -> int:
    return sum(
        1 << n
        for n, slot in enumerate(request.slots)
        if ad.size in slot.sizes
        and not ad.attributes & slot.blocked_attributes
        and (ad.secure or not slot.secure)
    )


def open_slots(catalogue: list[LineItem], request: Request) -> list[int]:
    """Slots (bits) that each ad may fill."""
    return [
        (line_slots(line, request) & ad_slots(ad, request))
        if line_matches(line, request) and ad.alive
        else 0
        for line in catalogue
        for ad in line.ads
    ]


def first_misfit(line: LineItem, ad: Ad, request: Request) -> Misfit | None:
    """Why the ad may not be shown: the first rule, in the order of the reason codes."""
    fitting = [slot for slot in request.slots if ad.size in slot.sizes]
    secured = [slot for slot in fitting if ad.secure or not slot.secure]
    decent = [slot for slot in secured if not ad.attributes & slot.blocked_attributes]
    dimension = misfit(line, request)
    rules = [
        (Misfit.SIZE, not fitting),
        (Misfit.NOT_SECURE, not secured),
        (Misfit.ADVERTISER_BLOCKED, advertiser_refused(line, request)),
        (Misfit.CATEGORY_BLOCKED, own_category_refused(line, request)),
        (Misfit.ATTRIBUTE_BLOCKED, not decent),
        (OF_DIMENSION[dimension or Dimension.COUNTRY], dimension is not None),
        (Misfit.DOMAIN, not line_slots(line, request) & ad_slots(ad, request)),
        (Misfit.PAUSED, not (line.live and ad.alive)),
    ]
    return next((code for code, fails in rules if fails), None)


def values(vectors: AdVectors, live: Live, query: Query) -> np.ndarray:
    """Each ad's value by the scan's own arithmetic: integer digits, float32 in the same order."""
    turned = np.zeros(vectors.rotation.shape[1], np.float32)
    for component, axis in zip(query.vector, vectors.rotation, strict=True):
        turned += component * axis
    step = np.float32(max(np.abs(turned).max() / np.float32(32767), np.float32(1e-30)))
    q = np.rint(turned / step).astype(np.int64)
    head, rest, fine = (
        digits.astype(np.int64) for digits in (vectors.head, vectors.rest, vectors.fine)
    )
    value = live.base + np.where(vectors.per_click, np.float32(query.bias), np.float32(0))
    value += vectors.fact[:, 0] * (step * (head @ q[:HEAD]).astype(np.float32))
    digits = (fine[:, :HEAD] @ q[:HEAD]).astype(np.float32) / FINE
    part = vectors.fact[:, 0] * (step * digits)
    digits = (fine[:, HEAD:] @ q[HEAD:]).astype(np.float32) / FINE
    part += vectors.fact[:, 1] * (step * ((rest @ q[HEAD:]).astype(np.float32) + digits))
    return value + part


def scan_plainly(value: np.ndarray, slots: np.ndarray, slot_keys: list, k: int) -> np.ndarray:
    """Rows of the best k: the best k // groups of each group of like slots, then of all."""
    order = np.lexsort((np.arange(len(value)), -value))
    order = order[slots[order] != 0]
    groups = [
        sum(1 << n for n, other in enumerate(slot_keys) if other == key)
        for key in dict.fromkeys(slot_keys)
    ]
    chosen: set[int] = set()
    if 1 < len(groups) <= k:
        for group in groups:
            chosen.update(order[slots[order] & group != 0][: k // len(groups)].tolist())
    for row in order.tolist():
        if len(chosen) >= k:
            break
        chosen.add(row)
    return np.array([row for row in order.tolist() if row in chosen], np.int32)


def slot_keys(catalogue: list[LineItem], request: Request) -> list:
    """Slots with equal keys accept the same ads."""
    ads = ads_of(catalogue)
    known = {key for line in catalogue for key in line.placements}
    return [
        (
            slot.placement if slot.placement in known else None,
            tuple(bool(ad_slots(ad, request) >> n & 1) for ad in ads),
        )
        for n, slot in enumerate(request.slots)
    ]


def recall(found: Candidates, exact: Candidates) -> float:
    """Share of the exact candidates that were found, over all requests of the batch."""
    hits = sum(
        len(
            np.intersect1d(
                found.ad[found.offset[n] : found.offset[n + 1]],
                exact.ad[exact.offset[n] : exact.offset[n + 1]],
            )
        )
        for n in range(len(exact.eligible))
    )
    return hits / len(exact.ad)


# --- catalogues too large to be drawn by hypothesis --------------------------------------------


def random_catalogue(rng: np.random.Generator, line_items: int) -> list[LineItem]:
    """Five ads a line item; a tenth of them tied to placements, a fifth targeted by country."""
    return [random_line_item(rng) for _ in range(line_items)]


def random_line_item(rng: np.random.Generator) -> LineItem:
    topic, bid, per_click = rng.standard_normal(WIDE), rng.normal(0, 0.8), rng.random() < 0.6
    ads = [
        Ad(
            size=int(rng.integers(SIZES)),
            attributes=int(rng.random() < 0.2),
            secure=bool(rng.random() < 0.9),
            per_click=bool(per_click),
            base=float(np.float32(bid + rng.normal(0, 0.1))),
            vector=tuple(topic + 0.3 * rng.standard_normal(WIDE)),
        )
        for _ in range(5)
    ]
    include = {Dimension.COUNTRY: {str(rng.choice(WORDS))}} if rng.random() < 0.2 else {}
    placements = {str(rng.choice(PLACEMENTS))} if rng.random() < 0.1 else set()
    return LineItem(ads, include=include, placements=placements)


def open_to_all(catalogue: list[LineItem]) -> list[LineItem]:
    return [replace(line, include={}, placements=set()) for line in catalogue]


def random_requests(rng: np.random.Generator, count: int) -> list[Request]:
    return [
        Request(
            values={Dimension.COUNTRY: {str(rng.choice(WORDS))}},
            slots=[Slot(str(rng.choice(["", *PLACEMENTS])))],
            vector=tuple(rng.standard_normal(WIDE)),
        )
        for _ in range(count)
    ]


# --- hypothesis --------------------------------------------------------------------------------

values_by_dimension = st.dictionaries(
    st.sampled_from(list(Dimension)), st.sets(st.sampled_from(WORDS), min_size=1), max_size=3
)
numbers = st.floats(-4, 4, width=32)
vectors = st.tuples(*[numbers] * WIDTH)
ads = st.builds(
    Ad,
    size=st.integers(0, SIZES - 1),
    attributes=st.integers(0, 7),
    secure=st.booleans(),
    per_click=st.booleans(),
    alive=st.sampled_from([True, True, True, False]),
    base=st.sampled_from([0.0, 1.0, 2.5, 7.0, -np.inf]),
    vector=vectors,
)
line_items = st.builds(
    LineItem,
    ads=st.lists(ads, max_size=3),
    include=values_by_dimension,
    exclude=values_by_dimension,
    categories=st.sets(st.sampled_from(CATEGORIES), max_size=2),
    domains=st.sets(st.sampled_from(DOMAINS), max_size=2),
    placements=st.sets(st.sampled_from(PLACEMENTS), max_size=2),
    live=st.sampled_from([True, True, True, False]),
)
catalogues = st.lists(line_items, min_size=1, max_size=80)
slots = st.builds(
    Slot,
    placement=st.sampled_from(["", "top", "side", "unheard of"]),
    sizes=st.sets(st.integers(0, SIZES - 1)),
    blocked_attributes=st.sampled_from([0, 0, 1, 6]),
    secure=st.booleans(),
)
requests = st.builds(
    Request,
    values=st.dictionaries(
        st.sampled_from(list(Dimension)),
        st.sets(st.sampled_from([*WORDS, "unheard of"]), min_size=1),
    ),
    slots=st.lists(slots, min_size=1, max_size=4),
    blocked_categories=st.sets(st.sampled_from([*CATEGORIES, "IAB9"]), max_size=2),
    blocked_domains=st.sets(st.sampled_from([*DOMAINS, "b.tea.example"]), max_size=2),
    vector=vectors,
    bias=numbers,
)
