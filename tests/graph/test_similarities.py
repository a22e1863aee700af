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


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "tanimoto"])
def test_however_many_are_as_near_the_lowest_numbers_are_taken(similarity):
    kinds = np.random.default_rng(3).integers(0, 3, size=300)
    found = similar_neighbours(np.eye(3, dtype=np.float32)[kinds], 5, similarity)
    for item in range(300):
        alike = np.flatnonzero(kinds == kinds[item])
        expected = [item, *alike[alike != item][:4].tolist()]
        assert found[[item]].indices.tolist() == sorted(expected)


def test_what_is_further_off_than_the_last_place_is_not_reached_by_a_low_number():
    """Four kinds: between the own kind and the nearest other there is no tie, within each there are many."""
    kinds = np.random.default_rng(4).permutation(np.repeat([0, 1, 2, 3], [3, 100, 100, 97]))
    values = np.array([[5.0, 0, 0], [4.0, 1, 0], [0, 1, 4], [0, 0, 5]], np.float32)[kinds]
    found = similar_neighbours(values, 10, "euclidean")
    rare, near = np.flatnonzero(kinds == 0), np.flatnonzero(kinds == 1)
    for item in rare:
        assert found[[item]].indices.tolist() == sorted([*rare.tolist(), *near[:7].tolist()])


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "tanimoto"])
def test_a_very_long_vector_does_not_blur_the_others(similarity):
    values = np.random.default_rng(5).normal(size=(300, 5))
    values[17] *= 1e6
    found = similar_neighbours(values, 6, similarity)
    dense = _dense(values, similarity)
    np.fill_diagonal(dense, np.inf)
    for item in np.delete(np.arange(300), 17):
        expected = set(np.argsort(-dense[item])[:6].tolist())
        assert set(found[[item]].indices.tolist()) == expected


def test_points_far_from_the_origin_tie_in_spite_of_rounding():
    values = 1e4 + np.random.default_rng(6).normal(size=(3, 7))
    kinds = np.random.default_rng(7).integers(0, 3, size=200)
    found = similar_neighbours(values[kinds], 5, "euclidean")
    for item in range(200):
        alike = np.flatnonzero(kinds == kinds[item])
        assert found[[item]].indices.tolist() == sorted([item, *alike[alike != item][:4].tolist()])


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="finite"):
        similar_neighbours(np.full((2, 2), np.inf), 1, "dot")
    with pytest.raises(DataError, match="k of 1"):
        similar_neighbours(np.ones((2, 2)), 0, "dot")
    with pytest.raises(DataError, match="k of 1"):
        similar_neighbours(np.ones((2, 2)), 1, "dot", np.ones(3, bool))
