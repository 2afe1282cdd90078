"""A graph of ads by expected value, for requests that may see most of a large catalogue.

The one file that touches hnswlib. It knows vectors and numbers; it knows nothing of targeting.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hnswlib
import numpy as np
from numpy.typing import NDArray

from retrieval.files import mapped
from retrieval.settings import RetrievalSettings

FILE = "graph.bin"
FLAT = "graph_flat.npy"


@dataclass(frozen=True, slots=True)
class Graph:
    """Finds most of the ads with the greatest base, plus vector . q for those that pay by click.

    An ad by click is the point (vector, base), a request the direction (q, 1), so that their inner
    product orders ads by value. Points are lifted to one length by a last coordinate, which makes
    the nearest by distance the greatest by inner product (Bachrach et al. 2014, "Speeding up the
    Xbox recommender system using a Euclidean transformation").

    Ads by impression have no vector: they are a list by base. As points they were an island that
    a search did not reach (4 % of the best were never found, at any effort).

    Bases are those of the build: an ad whose bid has risen since may be missed.
    """

    index: Any
    flat: NDArray[np.int32]
    """Ads by impression, the greatest base first."""

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        per_click: NDArray[np.bool_],
        base: NDArray[np.float32],
        settings: RetrievalSettings,
    ) -> Graph:
        rows = np.flatnonzero(per_click)
        base = np.maximum(base, base[np.isfinite(base)].min(initial=0))  # a bid of nothing: -inf
        points = _lifted(vectors[rows], base[rows])
        index = hnswlib.Index(space="l2", dim=points.shape[1])
        index.init_index(
            max_elements=max(1, len(rows)),
            M=settings.graph_links,
            ef_construction=settings.graph_effort,
        )
        if len(rows):
            index.add_items(points, rows, num_threads=settings.build_threads or -1)
        others = np.flatnonzero(~per_click)
        order = np.argsort(-base[others], kind="stable")
        return cls(index, others[order].astype(np.int32))

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / FILE))
        np.save(folder / FLAT, np.append(self.flat, np.int32(-1)))  # an empty file can't be mapped

    @classmethod
    def load(cls, folder: Path, dimensions: int) -> Graph | None:
        """What `save` wrote there, None when there is no graph. The graph is read, not mapped."""
        if not (folder / FILE).exists():
            return None
        index = hnswlib.Index(space="l2", dim=dimensions + 2)
        index.load_index(str(folder / FILE))
        return cls(index, mapped(folder / FLAT)[:-1])

    def nearest(self, vector: NDArray[np.float32], count: int, effort: int) -> NDArray[np.int32]:
        """About the `count` best ads by click and by impression each, ascending by row.

        Those by impression alone when the graph finds fewer than it was asked for.
        """
        by_click = min(count, self.index.get_current_count())
        if not by_click:
            return np.sort(self.flat[:count])
        self.index.set_ef(max(effort, by_click))
        direction = np.concatenate([vector, np.array([1, 0], np.float32)])
        try:
            found, _ = self.index.knn_query(direction, k=by_click, num_threads=1)
        except RuntimeError:  # what hnswlib raises when its search ends with fewer than asked
            return np.sort(self.flat[:count])
        return np.sort(np.concatenate([found[0].astype(np.int32), self.flat[:count]]))


def _lifted(vectors: NDArray[np.float32], base: NDArray[np.float32]) -> NDArray[np.float32]:
    """[n, D + 2] vector, base, and what brings all points to one length."""
    rows, dimensions = vectors.shape
    points = np.empty((rows, dimensions + 2), np.float32)
    points[:, :dimensions] = vectors
    # Only differences of base matter; the smaller the numbers, the less lift they need.
    points[:, dimensions] = base - base.mean() if rows else base
    square = np.einsum("nd,nd->n", points[:, :-1], points[:, :-1])
    points[:, -1] = np.sqrt(square.max(initial=0) - square)
    return points
