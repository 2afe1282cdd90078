import numpy as np
import plain_retrieval as plain
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from retrieval.settings import RetrievalSettings
from retrieval.vectors import COLUMNS, AdVectors


def draw(rng: np.random.Generator, ads: int, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    spectrum = np.arange(1, dimensions + 1) ** -0.5
    vectors = (rng.standard_normal((ads, dimensions)) * spectrum).astype(np.float32)
    return vectors, rng.random(ads) < 0.7


@pytest.mark.parametrize("dimensions", [1, 6, 16, 17, 64])
def test_inner_products_are_kept_to_a_ten_thousandth_of_the_lengths(rng, dimensions):
    vectors, per_click = draw(rng, 500, dimensions)
    stored = AdVectors.build(vectors, per_click, np.zeros(500, np.float32))
    request = rng.standard_normal(dimensions).astype(np.float32)

    product = stored.floats() @ (request @ stored.rotation)

    error = np.abs(product - np.where(per_click, vectors @ request, 0))
    assert (error <= 1e-4 * stored.norm * np.linalg.norm(request) + 1e-6).all()


def test_recall_against_floats_is_nearly_whole(rng):
    """200 of 20 000 by the compressed vectors are the 200 by the floats."""
    vectors, per_click = draw(rng, 20_000, 64)
    base = rng.normal(7, 0.8, 20_000).astype(np.float32)
    stored = AdVectors.build(vectors, per_click, base)
    recalls = []
    for request in rng.standard_normal((20, 64)).astype(np.float32):
        exact = base + np.where(per_click, vectors @ request, 0)
        product = base + stored.floats() @ (request @ stored.rotation)
        best = np.argsort(-exact)[:200], np.argsort(-product)[:200]
        recalls.append(len(np.intersect1d(*best)) / 200)

    assert np.mean(recalls) >= 0.999


def test_lengths_that_bound_are_never_too_short(rng):
    vectors, per_click = draw(rng, 2000, 64)
    stored = AdVectors.build(vectors, per_click, np.zeros(2000, np.float32))
    digits = stored.floats()
    coarse = digits.copy()
    coarse[:, :16] = stored.head * stored.fact[:, :1]
    coarse[:, 16:] = stored.rest * stored.fact[:, 1:2]

    assert (stored.norm >= np.linalg.norm(digits, axis=1)).all()
    assert (stored.fact[:, 2] >= np.linalg.norm(digits[:, 16:], axis=1)).all()
    assert (stored.fact[:, 3] >= np.linalg.norm(digits - coarse, axis=1)).all()


def test_most_of_a_vector_lies_in_its_leading_dimensions(rng):
    vectors, per_click = draw(rng, 2000, 64)
    turned = vectors @ np.linalg.qr(rng.standard_normal((64, 64)))[0].astype(np.float32)
    stored = AdVectors.build(turned, per_click, np.zeros(2000, np.float32))

    beyond = stored.fact[per_click, 2].mean() / stored.norm[per_click].mean()

    assert beyond < 0.65  # of the length; it would be 0.87 unturned


def test_ads_by_impression_have_no_vector(rng):
    vectors, per_click = draw(rng, 100, 16)

    stored = AdVectors.build(vectors, per_click, np.zeros(100, np.float32))

    assert not stored.floats()[~per_click].any()
    assert not stored.norm[~per_click].any()


@pytest.mark.parametrize("per_click", [True, False])
def test_saved_vectors_and_graph_answer_as_those_that_were_built(tmp_path, rng, per_click):
    vectors, clicks = draw(rng, 300, 8)
    clicks &= per_click
    base = rng.normal(0, 1, 300).astype(np.float32)
    settings = RetrievalSettings(graph_from=300, build_threads=1)
    built = AdVectors.build(vectors, clicks, base, settings)

    built.save(tmp_path / "vectors")
    loaded = AdVectors.load(tmp_path / "vectors")

    for name in COLUMNS:
        assert_array_equal(getattr(built, name), getattr(loaded, name))
    request = rng.standard_normal(8).astype(np.float32)
    near = loaded.graph.nearest(request, 20, 50)
    assert_array_equal(near, built.graph.nearest(request, 20, 50))
    value = np.where(clicks, vectors @ request, 0) + base
    flat = np.flatnonzero(~clicks)[np.argsort(-base[~clicks], kind="stable")][:20]
    assert set(flat) <= set(near)
    if per_click:
        best = np.flatnonzero(clicks)[np.argsort(-value[clicks])][:20]
        assert set(best) <= set(near)


def test_a_small_catalogue_has_no_graph(tmp_path, rng):
    vectors, per_click = draw(rng, 50, 8)
    AdVectors.build(vectors, per_click, np.zeros(50, np.float32)).save(tmp_path)

    assert AdVectors.load(tmp_path).graph is None


def test_the_same_vectors_are_stored_the_same_way(rng):
    vectors, per_click = draw(rng, 300, 64)
    base = np.zeros(300, np.float32)

    once, again = (AdVectors.build(vectors, per_click, base) for _ in range(2))

    for name in COLUMNS:
        assert_array_equal(getattr(once, name), getattr(again, name))


def test_floats_of_some_rows_are_those_rows(rng):
    vectors, per_click = draw(rng, 30, plain.WIDTH)
    stored = AdVectors.build(vectors, per_click, np.zeros(30, np.float32))

    assert_allclose(stored.floats(np.array([3, 1], np.int32)), stored.floats()[[3, 1]])
