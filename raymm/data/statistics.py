"""What a domain is like: sizes, density, the long tail, lengths of histories, ratings, times, modalities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from raymm.contracts import Domain

LEVELS = (0.0, 0.25, 0.5, 0.75, 0.95, 1.0)  # of the quantiles below
_HEAD_SHARE = 0.2  # the most popular fifth of the items is the head, the rest the tail


@dataclass(frozen=True)
class DomainStatistics:
    """Statistics of one domain's training interactions.

    Attributes:
        name: The domain's name.
        users: Number of users U.
        items: Number of items I.
        interactions: Number of training interactions.
        density: Share of all pairs of a user and an item that are interactions.
        histories: Quantiles at `LEVELS` of the interactions of a user.
        popularity: Quantiles at `LEVELS` of the interactions of an item.
        users_without: Users without a training interaction.
        items_without: Items without a training interaction.
        gini: Gini coefficient of the items' popularity; 0: all alike, 1: one item has everything.
        head: Share of the interactions that falls on the most popular fifth of the items.
        ratings: Rating to number of interactions, at most 20 values; empty where there are no ratings.
        mean_rating: Mean rating, None where there are none.
        times: First and last time in seconds since 1970, None where there are none.
        modalities: Name to (columns, share of the items that have it).
    """

    name: str
    users: int
    items: int
    interactions: int
    density: float
    histories: tuple[float, ...]
    popularity: tuple[float, ...]
    users_without: int
    items_without: int
    gini: float
    head: float
    ratings: Mapping[str, int]
    mean_rating: float | None
    times: tuple[int, int] | None
    modalities: Mapping[str, tuple[int, float]]


def describe_domain(domain: Domain) -> DomainStatistics:
    """Compute the statistics of a domain."""
    of_users, of_items = interaction_counts(domain)
    times, ratings = domain.times, domain.ratings
    return DomainStatistics(
        name=domain.name,
        users=domain.n_users,
        items=domain.n_items,
        interactions=int(domain.interactions.nnz),
        density=domain.interactions.nnz / (domain.n_users * domain.n_items),
        histories=tuple(float(value) for value in np.quantile(of_users, LEVELS)),
        popularity=tuple(float(value) for value in np.quantile(of_items, LEVELS)),
        users_without=int((of_users == 0).sum()),
        items_without=int((of_items == 0).sum()),
        gini=gini(of_items),
        head=_head_share(of_items),
        ratings={} if ratings is None else _rating_counts(ratings),
        mean_rating=None if ratings is None else float(ratings.mean(dtype=np.float64)),
        times=None if times is None else (int(times.min()), int(times.max())),
        modalities={
            name: (int(feature.values.shape[1]), float(feature.present.mean()))
            for name, feature in domain.features.items()
        },
    )


def interaction_counts(domain: Domain) -> tuple[np.ndarray, np.ndarray]:
    """Count the training interactions of each user (U,) and of each item (I,), int64."""
    matrix = domain.interactions
    return np.diff(matrix.indptr).astype(np.int64), np.bincount(matrix.indices, minlength=domain.n_items)


def lorenz(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the Lorenz curve of counts, the largest first: share of the items, and share of all that they have.

    Args:
        counts: (n,) of at least 0, with a positive sum.

    Returns:
        Two (n + 1,) float64 arrays from (0, 0) to (1, 1); the second is concave.
    """
    falling = np.sort(counts)[::-1].astype(np.float64)
    shares = np.concatenate([[0.0], np.cumsum(falling)]) / falling.sum()
    return np.linspace(0.0, 1.0, len(counts) + 1), shares


def gini(counts: np.ndarray) -> float:
    """Return the Gini coefficient of counts: twice the area between the Lorenz curve and equality."""
    places, shares = lorenz(counts)
    return float(2.0 * np.trapezoid(shares - places, places))


def _head_share(counts: np.ndarray) -> float:
    head = max(1, round(_HEAD_SHARE * len(counts)))
    return float(np.sort(counts)[::-1][:head].sum() / counts.sum())


def _rating_counts(ratings: np.ndarray) -> dict[str, int]:
    """Count ratings by value, or by twenty equal steps where there are more values than that."""
    values, counts = np.unique(ratings, return_counts=True)
    if len(values) <= 20:
        return {f"{value:g}": int(count) for value, count in zip(values, counts, strict=True)}
    counts, edges = np.histogram(ratings, bins=20)
    return {f"{edge:.3g}": int(count) for edge, count in zip(edges, counts, strict=False)}
