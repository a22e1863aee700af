"""What GUME computes of a domain before training: an item graph a modality, and the links between alike items."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import sparse

from raymm.contracts import Domain, Feature
from raymm.errors import DataError
from raymm.graph.adjacency import symmetrically_normalised
from raymm.graph.crew import ALONE, Crew
from raymm.graph.neighbours import cosine_neighbours
from raymm.graph.similarities import similar_neighbours
from raymm.models.gume.config import GumeConfig, Nearness
from raymm.models.spec import Structure

LINKS = "links"


def item_graph(modality: str) -> str:
    """Name the item graph of a modality among the matrices."""
    return f"items.{modality}"


def build_structure(
    config: GumeConfig,
    domain: Domain,
    seed: int,  # noqa: ARG001 - nothing is drawn
    crew: Crew = ALONE,
) -> Structure:
    """Find each item's nearest in each modality, and link the items that are near in every modality.

    Source: GUME (arXiv 2407.12338), graph enhancement, and the published code for what the paper leaves open: k nearest
    by cosine (another similarity where the settings say so), the item itself among them; row sums normalise both ends
    of the directed item graph.

    Args:
        config: Settings.
        domain: Training data of one domain.
        seed: Not used: nothing is random here.
        crew: Who works.

    Returns:
        `items.<modality>`, normalised (I, I), one a modality; and `links`, Z (I, I) of zeros and ones.

    Raises:
        DataError: The items have no features.
    """
    if not domain.features:
        raise DataError(
            "items without any modality",
            "at least one feature",
            f"domain {domain.name!r}",
            "add features to the recipe; a model without modalities is `lightgcn`",
        )
    graph = config.graph
    nearest = _nearest(domain.features, graph.similarity, max(graph.neighbours, graph.link_neighbours), crew)
    matrices: dict[str, sparse.csr_array] = {
        item_graph(name): symmetrically_normalised(_first(near, graph.neighbours)) for name, near in nearest.items()
    }
    linked = [_first(near, graph.link_neighbours) for near in nearest.values()]
    links = semantic_links(linked, [feature.present for feature in domain.features.values()])
    if graph.symmetric_links:
        links = links.maximum(links.T).tocsr()
    matrices[LINKS] = sparse.csr_array(links)
    counts = np.diff(matrices[LINKS].indptr)
    return Structure(matrices, {"links.per_item": float(counts.mean()), "links.items": float((counts > 0).mean())})


def semantic_links(nearest: Sequence[sparse.csr_array], present: Sequence[np.ndarray]) -> sparse.csr_array:
    """Link item i to j if j is among the nearest of i in every modality that both have, and in one at least.

    Source: GUME (arXiv 2407.12338), semantic neighbours, for items that have every modality.

    Args:
        nearest: One (I, I) a modality, non-zero where j is among the nearest of i; rows and columns of items without
            the modality are empty.
        present: One (I,) bool a modality.

    Returns:
        (I, I) float32 ones with an empty diagonal; not symmetric in general.
    """
    votes = sparse.csr_array(nearest[0].shape, dtype=np.float32)
    for near in nearest:
        votes = votes + (near != 0).astype(np.float32)
    votes = sparse.coo_array(votes)
    i, j = votes.coords
    common = np.sum([mask[i] & mask[j] for mask in present], axis=0)
    kept = (votes.data == common) & (i != j)
    ones = np.ones(int(kept.sum()), np.float32)
    return sparse.csr_array((ones, (i[kept], j[kept])), shape=votes.shape)


def _nearest(features: Mapping[str, Feature], similarity: Nearness, k: int, crew: Crew) -> dict[str, sparse.csr_array]:
    return {name: _nearest_by(feature, similarity, k, crew) for name, feature in features.items()}


def _nearest_by(feature: Feature, similarity: Nearness, k: int, crew: Crew) -> sparse.csr_array:
    values, present = feature.values, feature.present
    if similarity == "dot" or similarity == "euclidean" or similarity == "tanimoto":
        return similar_neighbours(values, k, similarity, present, crew)
    if similarity == "centred":
        values = np.asarray(values - values[present].mean(axis=0, dtype=np.float64), dtype=np.float32)
    return cosine_neighbours(values, k, include_self=True, present=present, crew=crew)


def _first(nearest: sparse.csr_array, k: int) -> sparse.csr_array:
    """Keep the k nearest of each row, itself first (of equal rows the item itself is the nearest)."""
    matrix = sparse.csr_array(nearest)
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    columns, entries = matrix.indices, matrix.data
    order = np.lexsort((columns, -entries, rows != columns, rows))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order)) - np.repeat(matrix.indptr[:-1], np.diff(matrix.indptr))
    kept = places < k
    return sparse.csr_array((entries[kept], (rows[kept], columns[kept])), shape=matrix.shape)
