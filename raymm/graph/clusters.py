"""k-means on rows of features: seeding, and the iterations that follow it."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raymm.contracts import Feature
from raymm.errors import DataError


def joined_rows(features: Mapping[str, Feature]) -> np.ndarray:
    """Set the features of all modalities side by side, each row of each scaled to length one.

    Args:
        features: Modality name to features of the same I items, at least one.

    Returns:
        (I, sum of the columns) float32; zeros where a modality is missing.

    Raises:
        DataError: There are no features, their numbers of items differ, or a present value is not finite.
    """
    if not features:
        raise DataError("no features", "at least one modality", "clusters of items")
    counts = {name: len(feature.values) for name, feature in features.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"rows {counts}", "as many in each modality, one an item", "clusters of items")
    parts = []
    for name, feature in features.items():
        rows = np.where(feature.present[:, None], feature.values, 0).astype(np.float32)
        norms = np.sqrt(np.einsum("nf,nf->n", rows, rows, dtype=np.float64))[:, None]
        if not np.isfinite(norms).all():
            raise DataError("values that are not finite", "finite ones for present items", f"feature {name!r}")
        parts.append(np.divide(rows, norms, out=np.zeros_like(rows), where=norms > 0))
    return np.concatenate(parts, axis=1)


def seeded_labels(points: np.ndarray, n_clusters: int, generator: np.random.Generator) -> np.ndarray:
    """Draw centres by k-means++ and label every point with the nearest.

    Source: Arthur, Vassilvitskii (SODA 2007), k-means++: each centre is a point drawn with a probability in proportion
    to the squared distance from the centres so far.

    Args:
        points: (N, F).
        n_clusters: K, at most N.
        generator: Source of randomness.

    Returns:
        (N,) int64 in 0..K-1. Where fewer than K points differ, the labels of the repetitions stay unused.

    Raises:
        DataError: There are fewer points than clusters.
    """
    if n_clusters > len(points):
        raise DataError(
            f"{n_clusters} clusters of {len(points)} items",
            "at most as many clusters as items",
            "clusters",
            "lower the setting `clusters`",
        )
    squares = np.einsum("nf,nf->n", points, points, dtype=np.float64)
    nearest = np.full(len(points), np.inf)
    labels = np.zeros(len(points), np.int64)
    chosen = int(generator.integers(len(points)))
    for cluster in range(n_clusters):
        distances = np.maximum(squares + squares[chosen] - 2 * (points @ points[chosen]).astype(np.float64), 0)
        distances[chosen] = 0
        closer = distances < nearest
        labels[closer], nearest[closer] = cluster, distances[closer]
        mass = np.cumsum(nearest)
        chosen = min(int(np.searchsorted(mass, generator.random() * mass[-1], side="right")), len(points) - 1)
    return labels


def kmeans_labels(
    points: np.ndarray, n_clusters: int, generator: np.random.Generator, max_iterations: int = 100
) -> tuple[np.ndarray, int, bool]:
    """Cluster points by Lloyd's iterations from a k-means++ start; empty clusters take the point that fits worst.

    Args:
        points: (N, F).
        n_clusters: K, at most N.
        generator: Source of randomness.
        max_iterations: Most iterations.

    Returns:
        Labels (N,) int64, the iterations done, and whether labels stopped changing.

    Raises:
        DataError: There are fewer points than clusters.
    """
    labels = seeded_labels(points, n_clusters, generator)
    for iteration in range(1, max_iterations + 1):
        centres = _centres(points, labels, n_clusters)
        scores = points @ centres.T - (centres**2).sum(axis=1) / 2  # largest where the distance is smallest
        renewed = scores.argmax(axis=1)
        _fill_empty(renewed, scores.max(axis=1), points, n_clusters)
        if np.array_equal(renewed, labels):
            return labels, iteration, True
        labels = renewed
    return labels, max_iterations, False


def _centres(points: np.ndarray, labels: np.ndarray, n_clusters: int) -> np.ndarray:
    order = np.argsort(labels, kind="stable")
    counts = np.bincount(labels, minlength=n_clusters)
    filled = counts > 0
    centres = np.zeros((n_clusters, points.shape[1]), points.dtype)
    starts = (np.cumsum(counts) - counts)[filled]
    centres[filled] = np.add.reduceat(points[order], starts, axis=0) / counts[filled, None]
    return centres


def _fill_empty(labels: np.ndarray, scores: np.ndarray, points: np.ndarray, n_clusters: int) -> None:
    """Give each empty cluster the point farthest from its centre, of those in clusters of two and more."""
    counts = np.bincount(labels, minlength=n_clusters)
    if counts.all():
        return
    distances = np.einsum("nf,nf->n", points, points) - 2 * scores
    for point in np.argsort(-distances, kind="stable"):
        empty = np.flatnonzero(counts == 0)
        if not len(empty):
            return
        if counts[labels[point]] > 1:
            counts[labels[point]] -= 1
            counts[empty[0]] += 1
            labels[point] = empty[0]
