"""Neighbours by other similarities, against dense loops."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from raymm.errors import DataError
from raymm.graph.neighbours import cosine_neighbours
from raymm.graph.similarities import similar_neighbours


def _dense(values: np.ndarray, similarity: str) -> np.ndarray:
    if similarity == "euclidean":
        return -(cdist(values, values) ** 2)
    products = np.array([[sum(a * b for a, b in zip(x, y, strict=True)) for y in values] for x in values])
    if similarity == "dot":
        return products
    squares = products.diagonal()
    return products / (squares[:, None] + squares[None, :] - products)


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "tanimoto"])
def test_the_nearest_are_those_of_the_dense_matrix(similarity):
    values = np.random.default_rng(0).normal(size=(300, 5)).astype(np.float32)  # more than a block of rows
    k = 6
    found = similar_neighbours(values, k, similarity).toarray()
    dense = _dense(values.astype(np.float64), similarity)
    if similarity == "euclidean":
        top = np.sort(dense, axis=1)[:, ::-1][:, :k]
        dense_kernel = np.exp(dense / np.median(-top[:, -1]))
    others = dense.copy()
    np.fill_diagonal(others, np.inf)
    for item in range(len(values)):
        expected = set(np.argsort(-others[item])[:k].tolist())
        expected = {other for other in expected if similarity == "euclidean" or other == item or dense[item, other] > 0}
        assert set(np.flatnonzero(found[item]).tolist()) == expected
        want = dense_kernel if similarity == "euclidean" else dense
        at = sorted(expected)
        np.testing.assert_allclose(found[item, at], want[item, at], rtol=1e-5)


def test_tanimoto_of_sets_is_their_jaccard_index():
    sets = np.random.default_rng(1).integers(0, 2, size=(40, 12)).astype(np.float32)
    sets[:, 0] = 1
    found = similar_neighbours(sets, 40, "tanimoto").toarray()
    for i in range(40):
        for j in range(40):
            both, either = (sets[i] * sets[j]).sum(), np.maximum(sets[i], sets[j]).sum()
            assert found[i, j] == pytest.approx(both / either)


def test_on_directions_all_agree_with_the_cosine():
    values = np.random.default_rng(2).normal(size=(80, 6)).astype(np.float32)
    values /= np.linalg.norm(values, axis=1, keepdims=True)
    wanted = cosine_neighbours(values, 5, include_self=True) != 0
    for similarity in ("dot", "tanimoto", "euclidean"):
        assert ((similar_neighbours(values, 5, similarity) != 0) != wanted).nnz == 0


def test_absent_and_empty_items_take_no_part_and_equal_ones_go_by_number():
    values = np.ones((8, 3), np.float32)
    values[2] = np.nan
    values[5] = 0
    present = np.arange(8) != 2
    for similarity in ("dot", "tanimoto", "euclidean"):
        found = similar_neighbours(values, 3, similarity, present).toarray()
        assert not found[[2, 5]].any()
        assert not found[:, [2, 5]].any()
        assert set(np.flatnonzero(found[7]).tolist()) == {0, 1, 7}


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="finite"):
        similar_neighbours(np.full((2, 2), np.inf), 1, "dot")
    with pytest.raises(DataError, match="k of 1"):
        similar_neighbours(np.ones((2, 2)), 0, "dot")
    with pytest.raises(DataError, match="k of 1"):
        similar_neighbours(np.ones((2, 2)), 1, "dot", np.ones(3, bool))
