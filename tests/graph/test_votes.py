"""Votes of items against dense solutions, a loop over pairs, and EASE's closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import Ridge

from raymm.errors import ConfigError, DataError
from raymm.graph.adjacency import symmetrically_normalised
from raymm.graph.crew import ALONE
from raymm.graph.votes import VotesConfig, cross_votes, item_votes
from tests.graph.threads import ThreadCrew

USERS, ITEMS = 60, 23


def _interactions(seed: int = 0, users: int = USERS, items: int = ITEMS) -> sparse.csr_array:
    chosen = np.random.default_rng(seed).random((users, items)) < 0.2
    chosen[:, 4] = False  # nobody chose it
    return sparse.csr_array(chosen.astype(np.float32))


def _graph(seed: int = 1) -> sparse.csr_array:
    entries = np.random.default_rng(seed).random((ITEMS, ITEMS)) * (
        np.random.default_rng(seed + 1).random((ITEMS,) * 2) < 0.2
    )
    np.fill_diagonal(entries, 0)
    entries[4, 5] = 0.7
    return symmetrically_normalised(sparse.csr_array(np.maximum(entries, entries.T)))


def test_votes_on_the_whole_support_are_ridge_regressions():
    X, A = _interactions().toarray().astype(np.float64), _graph().toarray().astype(np.float64)
    config = VotesConfig(ridge=7.0, graph=5.0, neighbours=ITEMS)
    votes = item_votes(sparse.csr_array(X), sparse.csr_array(A), config).toarray()
    gram = X.T @ X + 5 * A
    for j in range(ITEMS):
        near = np.flatnonzero((gram[j] != 0) & (np.arange(ITEMS) != j))
        expected = np.zeros(ITEMS)
        expected[near] = np.linalg.solve(gram[np.ix_(near, near)] + 7 * np.eye(len(near)), gram[near, j])
        np.testing.assert_allclose(votes[:, j], expected, atol=1e-6)
    assert votes[5, 4] > 0  # an item that nobody chose gets votes by the graph alone
    assert not votes.diagonal().any()


def test_where_all_items_meet_the_votes_are_those_of_ease():
    rng = np.random.default_rng(5)
    X = (rng.random((300, 8)) < 0.5).astype(np.float64)
    assert (X.T @ X).all()
    precision = np.linalg.inv(X.T @ X + 30 * np.eye(8))
    expected = -precision / np.diag(precision)
    np.fill_diagonal(expected, 0)
    votes = item_votes(sparse.csr_array(X), None, VotesConfig(ridge=30.0)).toarray()
    np.testing.assert_allclose(votes, expected, atol=1e-6)


def test_only_the_nearest_and_the_neighbours_in_the_graph_vote():
    X, A = _interactions(), _graph()
    counts = (X.T @ X).toarray()
    roots = np.sqrt(np.diag(counts))
    cosines = counts / (np.outer(roots, roots) + 10)
    np.fill_diagonal(cosines, 0)
    votes = item_votes(X, A, VotesConfig(neighbours=3)).toarray()
    for j in range(ITEMS):
        nearest = set(np.argsort(-cosines[:, j], kind="stable")[:3]) & set(np.flatnonzero(cosines[:, j]))
        assert set(np.flatnonzero(votes[:, j])) <= nearest | set(A.toarray()[j].nonzero()[0])
    assert 0 < np.count_nonzero(votes) < np.count_nonzero(item_votes(X, A, VotesConfig()).toarray())


def test_any_crew_finds_the_same_votes():
    X = _interactions(seed=3, users=150, items=1_020)
    alone, shared = (item_votes(X, None, VotesConfig(neighbours=5), crew) for crew in (ALONE, ThreadCrew(3)))
    assert alone.nnz > 3000
    assert (alone != shared).nnz == 0


def test_any_crew_finds_the_same_votes_across():
    source, target = _interactions(seed=4, users=150, items=90), _interactions(seed=5, users=150, items=1_020)
    pairs = np.column_stack([np.arange(150)] * 2)
    alone, shared = (
        cross_votes(source, target, pairs, VotesConfig(neighbours=5), crew) for crew in (ALONE, ThreadCrew(3))
    )
    assert alone.nnz > 3000
    assert (alone != shared).nnz == 0


def test_items_of_other_domains_speak_by_a_regression_over_the_known_pairs():
    source, target = _interactions(7), _interactions(8, users=50, items=19)
    pairs = np.column_stack([np.arange(10, 40), np.arange(29, -1, -1)])
    X, Y = source.toarray(), target.toarray()
    own, other = X[pairs[:, 0]].astype(float), Y[pairs[:, 1]].astype(float)
    votes = cross_votes(source, target, pairs, VotesConfig(cross_ridge=4.0, cross_shrinkage=3.0)).toarray()
    few = cross_votes(source, target, pairs, VotesConfig(cross_ridge=4.0, cross_shrinkage=3.0, neighbours=2)).toarray()
    for found, most in ((votes, ITEMS), (few, 2)):
        for j in range(19):
            common = own.T @ other[:, j]
            cosines = common / (np.sqrt(X.sum(0) * Y[:, j].sum()) + 3)
            support = [i for i in np.argsort(-cosines, kind="stable")[:most] if common[i]]
            expected = Ridge(alpha=4.0, fit_intercept=False).fit(own[:, support], other[:, j]).coef_ if support else []
            np.testing.assert_allclose(found[support, j], expected, atol=1e-6)
            assert not np.delete(found[:, j], support).any()
    assert votes.any()
    assert few.any()
    assert not cross_votes(source, target, np.empty((0, 2), np.int64), VotesConfig()).nnz


def test_votes_across_are_smaller_the_fewer_pairs_are_known():
    rng = np.random.default_rng(3)
    taste = rng.integers(0, 2, 400)
    source, target = (
        sparse.csr_array((rng.random((400, 20)) < np.where(np.arange(20) % 2 == taste[:, None], 0.5, 0.05)) * 1.0)
        for _ in range(2)
    )
    everybody = np.column_stack([np.arange(400)] * 2)
    many, some = (cross_votes(source, target, everybody[:count], VotesConfig()).toarray() for count in (400, 40))
    same = np.arange(20)[:, None] % 2 == np.arange(20) % 2
    assert many[same].mean() > 5 * abs(many[~same].mean())
    assert 0 < some[same].mean() < 0.5 * many[same].mean()


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(ConfigError, match="votes.graph"):
        VotesConfig(ridge=1.0, graph=2.0)
    with pytest.raises(DataError, match="graph of 23 items"):
        item_votes(_interactions(items=20), _graph(), VotesConfig())
