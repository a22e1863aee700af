"""Ranking metrics of each user, and how values of several ranks become one result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raymm.errors import DataError

METRICS = ("hr", "recall", "ndcg", "precision", "map", "mrr")
COUNT = "count"


@dataclass(frozen=True, eq=False)
class RankingValues:
    """What a full ranking found, user by user.

    Attributes:
        domain: The domain's name.
        cutoffs: The cutoffs K of the metrics.
        users: (H,) int64 internal users; may be empty on a rank without a share.
        starts: (H + 1,) int64; the held-out pairs of row h are `starts[h]` to `starts[h + 1]`.
        items: (P,) int64, item of each held-out pair, ascending within a user.
        ranks: (P,) int64, its rank among the user's rankable items, 1 for the best.
        values: Metric key (`ndcg@10`) to (H,) float64.
    """

    domain: str
    cutoffs: tuple[int, ...]
    users: np.ndarray
    starts: np.ndarray
    items: np.ndarray
    ranks: np.ndarray
    values: Mapping[str, np.ndarray]

    def sums(self) -> dict[str, float]:
        """Return each metric's sum over users, and the number of users as `count`: what ranks add up."""
        return {COUNT: float(len(self.users)), **{key: float(value.sum()) for key, value in self.values.items()}}

    def means(self) -> dict[str, float]:
        """Return each metric's mean over users."""
        return means_from_sums([self.sums()])


def measure(
    domain: str,
    users: np.ndarray,
    starts: np.ndarray,
    items: np.ndarray,
    ranks: np.ndarray,
    cutoffs: tuple[int, ...],
) -> RankingValues:
    """Turn the ranks of held-out items into metrics.

    With P a user's held-out items, r_1 < r_2 < ... their ranks and h_K the number of ranks up to K:
    `hr@K` = 1 if h_K > 0; `recall@K` = h_K / |P|; `precision@K` = h_K / K;
    `ndcg@K` = sum over r_i <= K of 1 / log2(1 + r_i), divided by the same sum over the ranks 1 to min(|P|, K)
    (Jarvelin and Kekalainen, "Cumulated gain-based evaluation of IR techniques", 2002, with gains of 0 and 1);
    `map@K` = sum over r_i <= K of i / r_i, divided by min(|P|, K); `mrr@K` = 1 / r_1 if r_1 <= K, else 0.

    Args:
        domain: The domain's name.
        users: (H,) users.
        starts: (H + 1,) where each user's pairs start; every user has one at least.
        items: (P,) item of each pair.
        ranks: (P,) rank of each pair, from 1.
        cutoffs: The cutoffs K.
    """
    counts = np.diff(starts)
    owners = np.repeat(np.arange(len(users)), counts)
    ascending = ranks[np.lexsort((ranks, owners))]
    place = np.arange(len(ranks)) - starts[:-1][owners] + 1
    discounts = 1.0 / np.log2(1.0 + np.arange(1, max(cutoffs) + 1))
    ideal = np.concatenate([[0.0], np.cumsum(discounts)])

    def total(hit: np.ndarray, weights: np.ndarray) -> np.ndarray:
        return np.bincount(owners[hit], weights=weights, minlength=len(users))

    values: dict[str, np.ndarray] = {}
    for cutoff in cutoffs:
        hit = ascending <= cutoff
        found, reachable = total(hit, np.ones(int(hit.sum()))), np.minimum(counts, cutoff)
        first = hit & (place == 1)
        results = (
            (found > 0).astype(np.float64),
            found / counts,
            total(hit, discounts[ascending[hit] - 1]) / ideal[reachable],
            found / cutoff,
            total(hit, place[hit] / ascending[hit]) / reachable,
            total(first, 1.0 / ascending[first]),
        )
        values.update({f"{name}@{cutoff}": value for name, value in zip(METRICS, results, strict=True)})
    return RankingValues(domain, cutoffs, users, starts, items, ranks, values)


def means_from_sums(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Turn the sums of all ranks (or one sum that was reduced over ranks already) into means over users.

    Raises:
        DataError: The parts have different metrics, or no user was evaluated.
    """
    if len({tuple(part) for part in parts}) != 1:
        raise DataError(f"sums of {[sorted(part) for part in parts]}", "the same metrics on every rank", "evaluation")
    total = {key: sum(part[key] for part in parts) for key in parts[0]}
    count = total.pop(COUNT)
    if not count > 0:
        raise DataError("no users", "at least one user", "evaluation", "check the holdout")
    return {key: value / count for key, value in total.items()}


def join(parts: Sequence[RankingValues]) -> RankingValues:
    """Put the values of several ranks together, users ascending.

    Raises:
        DataError: The parts are of different domains or cutoffs, or a user stands in two of them.
    """
    if len({(part.domain, part.cutoffs) for part in parts}) != 1:
        raise DataError("values of different domains or cutoffs, or none", "parts of one evaluation", "evaluation")
    users = np.concatenate([part.users for part in parts])
    if len(np.unique(users)) < len(users):
        raise DataError("a user in two parts", "disjoint rows on each rank", f"domain {parts[0].domain!r}")
    order = np.argsort(users, kind="stable")
    counts = np.concatenate([np.diff(part.starts) for part in parts])
    owners = np.argsort(order)[np.repeat(np.arange(len(users)), counts)]
    pairs = np.argsort(owners, kind="stable")
    starts = np.concatenate([[0], np.cumsum(counts[order])]).astype(np.int64)
    items = np.concatenate([part.items for part in parts])[pairs]
    ranks = np.concatenate([part.ranks for part in parts])[pairs]
    return measure(parts[0].domain, users[order], starts, items, ranks, parts[0].cutoffs)
