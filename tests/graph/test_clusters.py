"""k-means against planted clusters and its own conditions of optimality."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.contracts import Feature
from raymm.errors import DataError
from raymm.graph.clusters import joined_rows, kmeans_labels, seeded_labels


def _planted(points: int = 300, clusters: int = 6, noise: float = 0.05) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, clusters, points)
    centres = np.eye(clusters) * 3
    return (centres[truth] + noise * rng.standard_normal((points, clusters))).astype(np.float32), truth


def test_features_are_scaled_one_by_one_and_missing_rows_are_zero() -> None:
    rng = np.random.default_rng(0)
    present = np.array([True, True, False, True])
    values = rng.standard_normal((4, 3)).astype(np.float32) * 100
    values[2] = np.nan
    joined = joined_rows({"a": Feature(values, present), "b": Feature(np.ones((4, 2), np.float32), np.ones(4, bool))})
    assert joined.shape == (4, 5)
    np.testing.assert_allclose(np.linalg.norm(joined[:, :3], axis=1), present, atol=1e-6)
    np.testing.assert_allclose(joined[0, :3] * np.linalg.norm(values[0]), values[0], rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(joined[:, 3:], axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("labels_of", [seeded_labels, lambda *a: kmeans_labels(*a)[0]], ids=["seeded", "kmeans"])
def test_planted_clusters_are_found(labels_of: object) -> None:
    points, truth = _planted()
    labels = labels_of(points, 6, np.random.default_rng(1))
    pairs = {(int(a), int(b)) for a, b in zip(labels, truth, strict=True)}
    assert len(pairs) == len(set(truth.tolist())) == 6


def test_labels_are_those_of_the_nearest_mean_when_converged() -> None:
    points = np.random.default_rng(2).standard_normal((200, 3)).astype(np.float32)
    labels, iterations, converged = kmeans_labels(points, 7, np.random.default_rng(0))
    assert converged
    assert 1 < iterations < 100
    means = np.stack([points[labels == k].mean(0) for k in range(7)])
    distances = ((points[:, None] - means) ** 2).sum(-1)
    np.testing.assert_array_equal(distances.argmin(1), labels)


def test_every_cluster_gets_an_item_even_among_repetitions() -> None:
    points = np.repeat(np.eye(3, dtype=np.float32), 10, axis=0)
    labels, _, _ = kmeans_labels(points, 5, np.random.default_rng(0), max_iterations=5)
    np.testing.assert_array_equal(np.unique(labels), np.arange(5))


def test_the_seed_decides() -> None:
    points = np.random.default_rng(3).standard_normal((100, 4)).astype(np.float32)
    first, again, other = (seeded_labels(points, 8, np.random.default_rng(seed)) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_far_points_are_drawn_more_often() -> None:
    """One point of eleven lies far off: with two centres it is nearly always one of them, unlike at random."""
    points = np.concatenate([np.random.default_rng(0).normal(0, 0.01, (10, 2)), [[5.0, 5.0]]])
    apart = sum(len(set(seeded_labels(points, 2, np.random.default_rng(s))[[0, 10]])) == 2 for s in range(100))
    assert apart >= 98


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(DataError, match="at most as many clusters"):
        seeded_labels(np.ones((3, 2)), 4, np.random.default_rng(0))
    with pytest.raises(DataError, match="at least one modality"):
        joined_rows({})
    with pytest.raises(DataError, match="as many in each modality"):
        joined_rows({name: Feature(np.ones((n, 1), np.float32), np.ones(n, bool)) for name, n in (("a", 1), ("b", 2))})
    with pytest.raises(DataError, match="not finite"):
        joined_rows({"a": Feature(np.full((2, 2), np.inf, np.float32), np.ones(2, bool))})
