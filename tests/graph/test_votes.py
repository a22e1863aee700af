"""Votes of items against dense solutions, a loop over pairs, and EASE's closed form."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

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


def test_items_of_other_domains_speak_by_the_known_pairs():
    source, target = _interactions(7), _interactions(8, users=50, items=19)
    pairs = np.column_stack([np.arange(10, 40), np.arange(29, -1, -1)])
    votes = cross_votes(source, target, pairs, VotesConfig(cross_shrinkage=4.0)).toarray()
    X, Y = source.toarray(), target.toarray()
    for i in range(ITEMS):
        for j in range(19):
            common = sum(X[u, i] * Y[v, j] for u, v in pairs)
            assert votes[i, j] == pytest.approx(common / (np.sqrt(X[:, i].sum() * Y[:, j].sum()) + 4), abs=1e-7)
    assert votes.any()
    few = cross_votes(source, target, pairs, VotesConfig(neighbours=2)).toarray()
    assert set(np.count_nonzero(few, axis=0)) <= {0, 1, 2}
    assert not cross_votes(source, target, np.empty((0, 2), np.int64), VotesConfig()).nnz


def test_what_cannot_be_solved_is_refused():
    with pytest.raises(ConfigError, match="votes.graph"):
        VotesConfig(ridge=1.0, graph=2.0)
    with pytest.raises(DataError, match="graph of 23 items"):
        item_votes(_interactions(items=20), _graph(), VotesConfig())
