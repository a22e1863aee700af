"""Ranking for cold users in closed form: a ridge regression from source histories to target items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from raymm.config import check, setting
from raymm.errors import DataError
from raymm.ratings.base import dot_scorer
from raymm.scorers import DotScorer


@dataclass(frozen=True)
class ColdRankingConfig:
    """Settings of the cross-domain ridge."""

    ridges: tuple[float, ...] = setting(
        (0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 1e6), "candidates of the weight of the squared map, in mean histories", gt=0
    )
    popularity: tuple[float, ...] = setting(
        (0.0, 0.1, 0.3, 1.0, 3.0, 1e3), "candidates of the weight of log-popularity, in standard deviations", ge=0
    )
    exponents: tuple[float, ...] = setting(
        (0.0, 0.5), "candidates of the power of an item's popularity that its place in a history is divided by", ge=0
    )
    cutoff: int = setting(20, "K of the NDCG@K that chooses among candidates", ge=1)
    judged: int = setting(1_000, "most users by whom candidates are judged, each left out", unit="users", ge=2)
    most_users: int = setting(10_000, "refuse more shared users: memory grows with their square", ge=2)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class Choice:
    """What leave-one-out chose.

    Attributes:
        exponent: Power of popularity in histories.
        ridge: Weight of the squared map; the largest is plain co-occurrence.
        popularity: Weight of log-popularity; the largest is popularity itself.
        ndcg: NDCG@K of the judged users, each left out.
    """

    exponent: float
    ridge: float
    popularity: float
    ndcg: float


def fit_cold_ranking(
    source: sparse.csr_array,
    target: sparse.csr_array,
    source_of: np.ndarray,
    config: ColdRankingConfig,
    generator: np.random.Generator,
) -> tuple[DotScorer, Choice]:
    """Map source histories to target items, `min |X W - Y|^2 + ridge |W|^2`, and add log-popularity.

    X are histories of shared users, divided by their length; Y what the same users chose in the target. The map is
    solved by the users' matrix, `W = X' (X X' + ridge I)^-1 Y`, from which what each user would get without himself
    follows in closed form, `y - alpha / diag`: candidates are judged by that. Co-occurrence (a ridge without end) and
    popularity are among them.

    Source: the regression is that of Steck (arXiv 1905.03375) from one domain to another, where no diagonal has to be
    kept at zero; leave-one-out as in Allen, "The Relationship between Variable Selection and Data Augmentation"
    (Technometrics 1974).

    Args:
        source: (source users, source items), non-zero where chosen.
        target: (target users, target items), of training.
        source_of: (target users,) the source user who is the same person, -1 for nobody.
        config: Settings.
        generator: Draws the judged users.

    Returns:
        Scorer of all target users, and what was chosen. Users whom the source does not know get popularity.

    Raises:
        DataError: Fewer than two shared users, or more than `most_users`.
    """
    warm = np.flatnonzero((source_of >= 0) & (np.diff(target.indptr) > 0))
    if not 2 <= len(warm) <= config.most_users:
        raise DataError(f"{len(warm)} shared users", f"2 to {config.most_users}", "cold ranking", "raise most_users")
    chosen = sparse.csr_array((np.ones(target.nnz), target.indices, target.indptr), shape=target.shape)[warm]
    popular = np.log1p(np.asarray(target.astype(bool).sum(axis=0)).reshape(-1).astype(np.float64))
    judged = np.sort(generator.permutation(len(warm))[: config.judged])
    best: tuple[Choice, np.ndarray, sparse.csr_array] | None = None
    for exponent in config.exponents:
        histories = _histories(source, exponent)
        own = histories[source_of[warm]]
        kernel = (own @ own.T).toarray()
        for ridge in config.ridges:
            inverse = linalg.inv(kernel + ridge * np.trace(kernel) / len(kernel) * np.eye(len(kernel)))
            duals = np.asarray((chosen.T @ inverse).T)
            left_out = chosen[judged].toarray() - duals[judged] / np.diag(inverse)[judged, None]
            for weight in config.popularity:
                value = _ndcg(_blended(left_out, popular, weight), chosen[judged], config.cutoff)
                if best is None or value > best[0].ndcg:
                    best = Choice(exponent, ridge, weight, value), duals, histories
    assert best is not None
    choice, duals, histories = best
    known = source_of >= 0
    rows = (histories[source_of * known] @ histories[source_of[warm]].T).toarray() * known[:, None]
    # One scale for all users, so that the blend is an inner product.
    spread = (rows[warm] @ duals).std(axis=1).mean() + 1e-12
    unit = popular.std() + 1e-12
    users = np.column_stack([rows / spread, np.full(len(rows), max(choice.popularity, 1e-6) / unit)])
    return dot_scorer(users, np.column_stack([duals.T, popular])), choice


def co_occurrence(source: sparse.csr_array, target: sparse.csr_array, source_of: np.ndarray) -> DotScorer:
    """Rank by how many shared users chose both a target item and what is in the user's source history.

    This and popularity are what a ranking for cold users has to beat.
    """
    warm = np.flatnonzero((source_of >= 0) & (np.diff(target.indptr) > 0))
    binary = sparse.csr_array((np.ones(source.nnz), source.indices, source.indptr), shape=source.shape)
    known = source_of >= 0
    rows = (binary[source_of * known] @ binary[source_of[warm]].T).toarray() * known[:, None]
    chosen = target[warm].toarray() != 0
    return dot_scorer(rows, chosen.T.astype(np.float64))


def _histories(source: sparse.csr_array, exponent: float) -> sparse.csr_array:
    """Divide each item by a power of its popularity, and each user by the length of the history."""
    counts = np.maximum(np.bincount(source.indices, minlength=source.shape[1]), 1)
    values = counts[source.indices] ** -exponent
    rows = sparse.csr_array((values, source.indices, source.indptr), shape=source.shape)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(lengths, 1e-12)) @ rows)


def _blended(scores: np.ndarray, popular: np.ndarray, weight: float) -> np.ndarray:
    spread = scores.std(axis=1).mean() + 1e-12
    return np.asarray(scores / spread + weight * popular / (popular.std() + 1e-12))


def _ndcg(scores: np.ndarray, chosen: sparse.csr_array, cutoff: int) -> float:
    """NDCG@K of rows of scores, mean over users."""
    cutoff = min(cutoff, scores.shape[1])
    top = np.argpartition(-scores, cutoff - 1, axis=1)[:, :cutoff]
    order = np.take_along_axis(top, np.argsort(-np.take_along_axis(scores, top, 1), axis=1, kind="stable"), 1)
    found = np.take_along_axis(chosen.toarray(), order, 1) > 0
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))
    ideal = np.cumsum(discounts)[np.minimum(np.diff(chosen.indptr), cutoff) - 1]
    return float(np.mean(found @ discounts / ideal))
