"""Ranking metrics of each user, and how values of several ranks become one result."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from raymm.errors import ArtefactError, DataError

METRICS = ("hr", "recall", "ndcg", "precision", "map", "mrr")
COUNT = "count"

_STORED = ("users", "starts", "items", "ranks")
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error)


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


def means_over_domains(means: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Name each domain's means `domain.metric@K`, and add `metric@K`, the mean over the domains.

    Args:
        means: Domain to metric to mean over its users; the same metrics in each.
    """
    result: dict[str, float] = {}
    for domain, values in means.items():
        for name, value in values.items():
            result[f"{domain}.{name}"] = value
            result[name] = result.get(name, 0.0) + value / len(means)
    return result


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


def restrict(values: RankingValues, pairs: np.ndarray) -> RankingValues:
    """Keep some of the held-out pairs, with their ranks among all items, and the users who have any of them.

    Args:
        values: The values of a full ranking.
        pairs: (P,) bool, the pairs to keep; metrics count these as the user's only positives.
    """
    owners = np.repeat(np.arange(len(values.users)), np.diff(values.starts))
    counts = np.bincount(owners[pairs], minlength=len(values.users))
    rows = counts > 0
    starts = np.concatenate([[0], np.cumsum(counts[rows])]).astype(np.int64)
    kept = values.items[pairs], values.ranks[pairs]
    return measure(values.domain, values.users[rows], starts, *kept, values.cutoffs)


def write_values(values: RankingValues, path: Path) -> None:
    """Store what a ranking found, user by user, as plain arrays (`.npz`)."""
    np.savez_compressed(
        path,
        domain=np.array(values.domain),
        cutoffs=np.array(values.cutoffs),
        **{name: getattr(values, name) for name in _STORED},
    )


def read_values(path: Path) -> RankingValues:
    """Read what `write_values` stored; the metrics are computed anew from the ranks.

    Raises:
        ArtefactError: The file is missing, damaged, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            users, starts, items, ranks = (stored[name].astype(np.int64, casting="safe") for name in _STORED)
            domain, cutoffs = str(stored["domain"]), tuple(int(cutoff) for cutoff in stored["cutoffs"])
        _check_layout(users, starts, items, ranks, cutoffs)
        return measure(domain, users, starts, items, ranks, cutoffs)
    except (OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, *_DAMAGED_ZIP) as error:
        raise ArtefactError(
            f"unreadable: {error}", "per-user values of an evaluation", str(path), "evaluate the model again"
        ) from error


def _check_layout(
    users: np.ndarray, starts: np.ndarray, items: np.ndarray, ranks: np.ndarray, cutoffs: tuple[int, ...]
) -> None:
    one_dimensional = users.ndim == starts.ndim == 1 and items.shape == ranks.shape == (starts[-1],)
    if not one_dimensional or len(starts) != len(users) + 1 or starts[0]:
        raise ValueError("arrays that do not fit each other")
    if (np.diff(starts) < 1).any() or (ranks < 1).any() or not cutoffs or min(cutoffs) < 1:
        raise ValueError("a user without a pair, or a rank or cutoff below 1")
