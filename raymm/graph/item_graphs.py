"""Item graphs of single modalities: each item and its nearest, normalised."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from scipy import sparse

from raymm.contracts import Feature
from raymm.graph.adjacency import symmetrically_normalised
from raymm.graph.crew import ALONE, Crew
from raymm.graph.neighbours import cosine_neighbours


def item_graphs(
    features: Mapping[str, Feature], k: int, crew: Crew = ALONE, weighted: bool = True
) -> dict[str, sparse.csr_array]:
    """Link each item to the k nearest by each modality, itself among them, and normalise by row sums on both sides.

    Args:
        features: Modality to features.
        k: Items in a row, at least 1; fewer where fewer have a positive cosine.
        crew: Who works.
        weighted: Links count their cosines; else each counts 1.

    Returns:
        Modality to (I, I) float32 CSR; rows and columns of items that lack the modality are empty.

    Raises:
        DataError: A present value is not finite, or k is below 1.
    """
    graphs = {}
    for name, feature in features.items():
        graph = cosine_neighbours(feature.values, k, include_self=True, present=feature.present, crew=crew)
        if not weighted:
            graph = sparse.csr_array((np.ones_like(graph.data), graph.indices, graph.indptr), shape=graph.shape)
        graphs[name] = symmetrically_normalised(graph)
    return graphs
