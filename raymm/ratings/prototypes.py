"""Prototypes of items: the centres of their clusters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raymm.errors import ConfigError

_BLOCK = 1 << 14


@dataclass(frozen=True, eq=False)
class Prototypes:
    """Clusters of items.

    Attributes:
        centres: (C, D) centres of unit length, as attention takes them.
        cluster: (I,) int64, the nearest centre (before it got unit length) of each item.
        inertia: Mean squared distance of an item to its centre, before unit length.
    """

    centres: np.ndarray
    cluster: np.ndarray
    inertia: float


def find_prototypes(
    items: np.ndarray, n_prototypes: int, generator: np.random.Generator, restarts: int = 5, iterations: int = 100
) -> Prototypes:
    """Cluster item vectors by k-means, started by k-means++, and keep the best of several starts.

    Source: MIMNet (arXiv 2408.00038), prototypes of the target domain; Arthur and Vassilvitskii, "k-means++" (SODA
    2007). As in the published code, items are assigned by raw centres, and the centres get unit length afterwards.

    Args:
        items: (I, D).
        n_prototypes: C, at most I.
        generator: Source of the starts.
        restarts: Starts; the one with the least squared distance is kept.
        iterations: Most rounds of each.

    Raises:
        ConfigError: There are fewer items than prototypes.
    """
    if len(items) < n_prototypes:
        raise ConfigError(
            f"{n_prototypes} prototypes", f"at most {len(items)}, the number of items", "prototypes", "lower it"
        )
    runs = (_one_run(items, n_prototypes, generator, iterations) for _ in range(restarts))
    centres, cluster, inertia = min(runs, key=lambda run: run[2])
    lengths = np.linalg.norm(centres, axis=1, keepdims=True)
    return Prototypes(centres / np.maximum(lengths, 1e-12), cluster, inertia)


def _one_run(
    items: np.ndarray, count: int, generator: np.random.Generator, iterations: int
) -> tuple[np.ndarray, np.ndarray, float]:
    centres = _spread_start(items, count, generator)
    cluster, distances = _nearest(items, centres)
    for _ in range(iterations):
        sizes = np.bincount(cluster, minlength=count)
        sums = np.stack([np.bincount(cluster, weights=column, minlength=count) for column in items.T], axis=1)
        centres = np.where(sizes[:, None] > 0, sums / np.maximum(sizes, 1)[:, None], centres)
        empty = np.flatnonzero(sizes == 0)
        centres[empty] = items[np.argsort(-distances)[: len(empty)]]  # an empty cluster takes a far item
        moved, distances = _nearest(items, centres)
        if np.array_equal(moved, cluster):
            break
        cluster = moved
    return centres, cluster, float(distances.mean())


def _spread_start(items: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    chosen = [int(generator.integers(len(items)))]
    distances = np.sum((items - items[chosen[0]]) ** 2, axis=1)
    for _ in range(count - 1):
        total = distances.sum()
        chances = distances / total if total > 0 else np.full(len(items), 1 / len(items))
        chosen.append(int(generator.choice(len(items), p=chances)))
        distances = np.minimum(distances, np.sum((items - items[chosen[-1]]) ** 2, axis=1))
    return items[chosen].copy()


def _nearest(items: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    cluster, distances = np.empty(len(items), dtype=np.int64), np.empty(len(items))
    norms = np.sum(centres**2, axis=1)
    for start in range(0, len(items), _BLOCK):
        part = items[start : start + _BLOCK]
        squared = norms - 2 * part @ centres.T
        best = squared.argmin(axis=1)
        cluster[start : start + _BLOCK] = best
        nearest = squared[np.arange(len(part)), best] + np.sum(part**2, axis=1)
        distances[start : start + _BLOCK] = np.maximum(nearest, 0)
    return cluster, distances
