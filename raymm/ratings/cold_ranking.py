"""Ranking for cold users in closed form: a ridge regression from source histories to target items."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from scipy import linalg, sparse

from raymm.config import check, setting
from raymm.errors import DataError
from raymm.ratings.base import dot_scorer
from raymm.scorers import DotScorer

_USERS = 64  # judged at a time


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
    most_users: int = setting(
        4_000, "shared users to learn from; of more, as many are drawn: memory grows with their square", ge=2
    )

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


@dataclass(frozen=True, eq=False)
class CrossRidge:
    """The map from source histories to target items, by the users whom it learned from.

    Attributes:
        histories: (W, source items) CSR, histories of these users, each of length 1.
        item_weights: (source items,) what an item counts in a history.
        duals: (W, target items) float32, the solution.
        popular: (target items,) log-popularity.
        spread: Deviation of the map's scores over a user's items, which they are divided by.
        popularity: What log-popularity is multiplied with.
        choice: What leave-one-out chose.
    """

    histories: sparse.csr_array
    item_weights: np.ndarray
    duals: np.ndarray
    popular: np.ndarray
    spread: float
    popularity: float
    choice: Choice

    def scorer(self, chosen: sparse.csr_array) -> DotScorer:
        """Rank for users by their source histories: (U, source items) CSR, non-zero where chosen.

        A user without a history gets popularity.
        """
        rows = (_weighted(chosen, self.item_weights) @ self.histories.T).toarray()
        users = np.column_stack([rows / self.spread, np.full(len(rows), self.popularity)])
        return dot_scorer(users, np.column_stack([self.duals.T, self.popular]))


def fit_cold_ranking(
    source: sparse.csr_array,
    target: sparse.csr_array,
    source_of: np.ndarray,
    config: ColdRankingConfig,
    generator: np.random.Generator,
) -> CrossRidge:
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
        generator: Draws the users who teach, where there are more than wanted, and those who judge.

    Raises:
        DataError: Fewer than two shared users.
    """
    warm = np.flatnonzero((source_of >= 0) & (np.diff(target.indptr) > 0))
    if len(warm) < 2:
        raise DataError(f"{len(warm)} shared users", "2 or more", "cold ranking", "hold fewer users out")
    if len(warm) > config.most_users:
        warm = np.sort(generator.permutation(warm)[: config.most_users])
    chosen = _ones(target)[warm]
    popular = np.log1p(np.asarray(target.astype(bool).sum(axis=0)).reshape(-1).astype(np.float64))
    judged = np.sort(generator.permutation(len(warm))[: config.judged])
    counts = np.maximum(np.bincount(source.indices, minlength=source.shape[1]), 1).astype(np.float64)
    found: list[Choice] = []
    for exponent in config.exponents:
        histories = _weighted(source[source_of[warm]], counts**-exponent)
        kernel = (histories @ histories.T).toarray()
        for ridge in config.ridges:
            left_out = _left_out(_factor(kernel, ridge), chosen, judged)
            values = _ndcgs(left_out, popular, config, chosen[judged])
            found += [Choice(exponent, ridge, *pair) for pair in zip(config.popularity, values, strict=True)]
    choice = max(found, key=lambda candidate: candidate.ndcg)  # the first of equals
    histories = _weighted(source[source_of[warm]], counts**-choice.exponent)
    kernel = (histories @ histories.T).toarray()
    factor = _factor(kernel, choice.ridge)
    duals = np.empty((len(warm), target.shape[1]), dtype=np.float32)
    for block, solved in _by_item(chosen, linalg.cho_solve(factor, np.eye(len(warm)), overwrite_b=True)):
        duals[block] = solved.T
    # One scale for all users, so that the blend is an inner product.
    scores = _by_item(chosen, linalg.cho_solve(factor, kernel[:, judged]))
    spread = float(np.concatenate([rows.std(axis=0) for _, rows in scores]).mean()) + 1e-12
    popularity = max(choice.popularity, 1e-6) / (float(popular.std()) + 1e-12)
    return CrossRidge(histories, counts**-choice.exponent, duals, popular, spread, popularity, choice)


def source_histories(source: sparse.csr_array, source_of: np.ndarray) -> sparse.csr_array:
    """Return the source history of each target user: (target users, source items), empty where nobody is known."""
    known = source_of >= 0
    return sparse.csr_array(sparse.diags_array(known.astype(np.float64)) @ _ones(source)[source_of * known])


def co_occurrence(source: sparse.csr_array, target: sparse.csr_array, source_of: np.ndarray) -> DotScorer:
    """Rank by how many shared users chose both a target item and what is in the user's source history.

    This and popularity are what a ranking for cold users has to beat.
    """
    warm = np.flatnonzero((source_of >= 0) & (np.diff(target.indptr) > 0))
    rows = (source_histories(source, source_of) @ _ones(source)[source_of[warm]].T).toarray()
    chosen = target[warm].toarray() != 0
    return dot_scorer(rows, chosen.T.astype(np.float64))


def _ones(matrix: sparse.csr_array) -> sparse.csr_array:
    return sparse.csr_array((np.ones(matrix.nnz), matrix.indices, matrix.indptr), shape=matrix.shape)


def _weighted(chosen: sparse.csr_array, item_weights: np.ndarray) -> sparse.csr_array:
    """Weigh the items of histories, and divide each history by its length."""
    chosen = sparse.csr_array(chosen)
    rows = sparse.csr_array((item_weights[chosen.indices], chosen.indices, chosen.indptr), shape=chosen.shape)
    lengths = np.sqrt(np.asarray(rows.multiply(rows).sum(axis=1)).reshape(-1))
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(lengths, 1e-12)) @ rows)


def _factor(kernel: np.ndarray, ridge: float) -> tuple[np.ndarray, bool]:
    """Decompose the users' matrix with a ridge in mean histories."""
    shifted = kernel + ridge * np.trace(kernel) / len(kernel) * np.eye(len(kernel))
    factor, lower = linalg.cho_factor(shifted, overwrite_a=True)
    return np.asarray(factor), bool(lower)


def _left_out(factor: tuple[np.ndarray, bool], chosen: sparse.csr_array, judged: np.ndarray) -> torch.Tensor:
    """Score all target items for users who are left out one by one: (judged, target items) float32."""
    asked = np.zeros((len(factor[0]), len(judged)))
    asked[judged, np.arange(len(judged))] = 1.0
    columns = linalg.cho_solve(factor, asked, overwrite_b=True)  # of the inverse, which is symmetric
    columns /= columns[judged, np.arange(len(judged))]
    own, scores = chosen[judged], np.empty((len(judged), chosen.shape[1]), dtype=np.float32)
    for block, values in _by_item(chosen, columns):
        np.negative(values.T, out=scores[block], casting="same_kind")
    scores[np.repeat(np.arange(len(judged)), np.diff(own.indptr)), own.indices] += own.data.astype(np.float32)
    return torch.from_numpy(scores)


def _ndcgs(
    scores: torch.Tensor, popular: np.ndarray, config: ColdRankingConfig, chosen: sparse.csr_array
) -> list[float]:
    """NDCG@K, mean over users, of scores in deviations plus log-popularity at each weight that is a candidate."""
    cutoff = min(config.cutoff, scores.shape[1])
    spread = float(torch.cat([scores[block].std(dim=1, correction=0) for block in _blocks(len(scores))]).mean()) + 1e-12
    deviations = torch.from_numpy(popular / (popular.std() + 1e-12)).float()
    discounts = 1 / np.log2(np.arange(2, cutoff + 2))
    ideal = np.cumsum(discounts)[np.minimum(np.diff(chosen.indptr), cutoff) - 1]
    wanted = np.repeat(np.arange(len(ideal)), np.diff(chosen.indptr)) * scores.shape[1] + chosen.indices
    top = np.empty((len(config.popularity), len(scores), cutoff), dtype=np.int64)
    for block in _blocks(len(scores)):
        scaled = scores[block] / spread
        for candidate, weight in enumerate(config.popularity):
            top[candidate, block] = torch.add(scaled, deviations, alpha=weight).topk(cutoff, dim=1).indices.numpy()
    hits = np.isin(top + scores.shape[1] * np.arange(len(ideal))[:, None], wanted)
    return [float(value) for value in np.mean(hits @ discounts / ideal, axis=1)]


def _by_item(chosen: sparse.csr_array, columns: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Add up the rows of `columns` by the items that users chose: (W, U) to (items, U), some of the U at a time."""
    owners = sparse.csr_array(chosen.T)
    for block in _blocks(columns.shape[1]):
        yield block, owners @ np.ascontiguousarray(columns[:, block])


def _blocks(users: int) -> Iterator[slice]:
    """Cut users into parts whose rows over all items stay in a processor's cache."""
    return (slice(first, min(first + _USERS, users)) for first in range(0, users, _USERS))
