"""The cross-domain ridge: left-out predictions against refits, and its place beside popularity and co-occurrence."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.ratings.cold_ranking import ColdRankingConfig, co_occurrence, fit_cold_ranking, source_histories


def _two_tastes(n_users=120, n_items=30, seed=0):
    """Even users like even items in both domains; the last third is new in the target."""
    generator = np.random.default_rng(seed)
    alike = (np.arange(n_users)[:, None] - np.arange(n_items)) % 2 == 0
    chosen = [alike & (generator.random(alike.shape) < 0.4) for _ in range(2)]
    for matrix in chosen:
        matrix[np.arange(n_users), np.arange(n_users) % 2] = True
    truth = chosen[1].copy()
    chosen[1][80:] = False
    return *(sparse.csr_array(matrix.astype(np.float32)) for matrix in chosen), truth


def test_cold_users_get_items_of_their_kind() -> None:
    source, target, truth = _two_tastes()
    config = ColdRankingConfig(cutoff=5)
    ridge = fit_cold_ranking(source, target, np.arange(120), config, np.random.default_rng(0))
    choice, scorer = ridge.choice, ridge.scorer(source)
    best = scorer.scores(torch.arange(80, 120)).argsort(dim=1, descending=True)[:, :5].numpy()
    assert ((best % 2) == (np.arange(80, 120) % 2)[:, None]).mean() > 0.95
    assert 0.2 < choice.ndcg <= 1
    assert truth[80:].any()


def test_one_candidate_is_the_dense_solution() -> None:
    source, target, _ = _two_tastes()
    config = ColdRankingConfig(ridges=(0.5,), popularity=(0.0,), exponents=(0.0,))
    scorer = fit_cold_ranking(source, target, np.arange(120), config, np.random.default_rng(0)).scorer(source)
    lengths = np.sqrt(source.toarray().sum(axis=1, keepdims=True))
    histories = source.toarray() / lengths
    own = histories[:80]
    weight = 0.5 * np.trace(own @ own.T) / 80
    solution = np.linalg.solve(own.T @ own + weight * np.eye(30), own.T @ target.toarray()[:80])
    found = scorer.scores(torch.arange(80, 120)).numpy()
    expected = histories[80:] @ solution
    assert np.corrcoef(found.ravel(), expected.ravel())[0, 1] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("popularity", [0.0, 0.3])
def test_candidates_are_judged_by_refits_without_the_user(popularity: float) -> None:
    source, target, _ = _two_tastes(60, 20)
    config = ColdRankingConfig(ridges=(0.5,), popularity=(popularity,), exponents=(0.0,), cutoff=4, judged=1000)
    found = fit_cold_ranking(source, target, np.arange(60), config, np.random.default_rng(0)).choice.ndcg
    chosen = target.toarray().astype(np.float64)
    histories = source.toarray() / np.sqrt(source.toarray().sum(axis=1, keepdims=True))
    scores = np.empty_like(chosen)
    for user in range(60):
        own = np.delete(histories, user, axis=0)
        weight = 0.5 * (histories * histories).sum() / 60
        solution = np.linalg.solve(own.T @ own + weight * np.eye(20), own.T @ np.delete(chosen, user, axis=0))
        scores[user] = histories[user] @ solution
    popular = np.log1p(chosen.sum(axis=0))
    # What is left over by leave-one-out is the prediction, y - (y - prediction); its spread is taken from it.
    blended = scores / scores.std(axis=1).mean() + popularity * popular / popular.std()
    gains = []
    for row, liked in zip(blended, chosen, strict=True):
        order = np.argsort(-row)[:4]
        discounts = 1 / np.log2(np.arange(2, 6))
        gains.append((liked[order] @ discounts) / discounts[: int(min(liked.sum(), 4))].sum())
    assert found == pytest.approx(np.mean(gains), abs=1e-6)


def test_users_whom_the_source_does_not_know_get_popularity() -> None:
    source, target, _ = _two_tastes()
    source_of = np.arange(120)
    source_of[100] = -1
    ridge = fit_cold_ranking(source, target, source_of, ColdRankingConfig(), np.random.default_rng(0))
    scorer = ridge.scorer(source_histories(source, source_of))
    counts = target.toarray().sum(axis=0)
    assert counts[int(scorer.scores(torch.tensor([100])).argmax())] == counts.max()


def test_co_occurrence_by_hand_and_too_few_users() -> None:
    source, target, _ = _two_tastes()
    found = co_occurrence(source, target, np.arange(120)).scores(torch.tensor([90]))[0].numpy()
    overlap = source.toarray()[:80] @ source.toarray()[90]
    assert found == pytest.approx(overlap @ target.toarray()[:80])
    with pytest.raises(DataError, match="shared users"):
        fit_cold_ranking(source, target, np.full(120, -1), ColdRankingConfig(), np.random.default_rng(0))
