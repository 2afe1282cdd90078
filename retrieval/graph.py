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

from retrieval.settings import RetrievalSettings

FILE = "graph.bin"


@dataclass(frozen=True, slots=True)
class Graph:
    """Finds most of the ads with the greatest base + vector . q + bias; approximate.

    An ad is the point (vector, base, pays by click), a request the direction (q, 1, bias), so that
    their inner product is the ad's value. Points are lifted to one length by a last coordinate,
    which makes the nearest by distance the greatest by inner product (Bachrach et al. 2014,
    "Speeding up the Xbox recommender system using a Euclidean transformation").
    The base is the one of the build: a bid that has risen since may be missed.
    """

    index: Any
    size: int

    @classmethod
    def build(
        cls,
        vectors: NDArray[np.float32],
        per_click: NDArray[np.bool_],
        base: NDArray[np.float32],
        settings: RetrievalSettings,
    ) -> Graph:
        ads, dimensions = vectors.shape
        points = np.zeros((ads, dimensions + 3), np.float32)
        points[per_click, :dimensions] = vectors[per_click]
        points[:, dimensions] = base - base.mean()
        points[:, dimensions + 1] = per_click
        square = np.einsum("nd,nd->n", points, points)
        points[:, -1] = np.sqrt(np.maximum(square.max() - square, 0))
        index = hnswlib.Index(space="l2", dim=dimensions + 3)
        index.init_index(
            max_elements=ads, M=settings.graph_links, ef_construction=settings.graph_effort
        )
        index.add_items(points, np.arange(ads), num_threads=settings.build_threads or -1)
        return cls(index, ads)

    def save(self, folder: Path) -> None:
        self.index.save_index(str(folder / FILE))

    @classmethod
    def load(cls, folder: Path, dimensions: int) -> Graph | None:
        """What `save` wrote there, None when there is no graph. Read, not mapped."""
        if not (folder / FILE).exists():
            return None
        index = hnswlib.Index(space="l2", dim=dimensions + 3)
        index.load_index(str(folder / FILE))
        return cls(index, index.get_current_count())

    def nearest(
        self, vector: NDArray[np.float32], bias: float, count: int, effort: int
    ) -> NDArray[np.int32]:
        """About the `count` ads of greatest value, by row; none when the graph finds fewer."""
        count = min(count, self.size)
        self.index.set_ef(max(effort, count))
        direction = np.concatenate([vector, np.array([1, bias, 0], np.float32)])
        try:
            found, _ = self.index.knn_query(direction, k=count, num_threads=1)
        except RuntimeError:  # what hnswlib raises when its search ends with fewer than asked
            return np.empty(0, np.int32)
        return np.sort(found[0]).astype(np.int32)
