"""Adjacency matrices against dense algebra."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from raymm.errors import DataError
from raymm.graph import adjacency


def _toy() -> np.ndarray:
    """Six users and five items; the last user and the last item have no interaction."""
    dense = (np.random.default_rng(0).random((6, 5)) < 0.5).astype(np.float32)
    dense[-1], dense[:, -1] = 0, 0
    assert dense.sum() > 5
    return dense


def _read_only(dense: np.ndarray) -> sparse.csr_array:
    matrix = sparse.csr_array(dense)
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    return matrix


def _dense_normalised(dense: np.ndarray) -> np.ndarray:
    sums = dense.sum(1)
    expected = np.zeros_like(dense, dtype=np.float64)
    for i, j in zip(*np.nonzero(dense), strict=True):
        expected[i, j] = dense[i, j] / np.sqrt(sums[i] * sums[j]) if sums[j] > 0 else 0
    return expected


def test_bipartite_equals_the_dense_formula() -> None:
    dense = _toy()
    whole = np.block([[np.zeros((6, 6)), dense], [dense.T, np.zeros((5, 5))]])
    result = adjacency.bipartite(_read_only(dense))
    assert result.shape == (11, 11)
    np.testing.assert_allclose(result.toarray(), _dense_normalised(whole), atol=1e-7)


def test_bipartite_with_item_edges_uses_the_enlarged_degrees_and_keeps_directions() -> None:
    dense = _toy()
    links = np.zeros((5, 5), np.float32)
    links[0, 1] = links[2, 3] = links[1, 0] = 1
    whole = np.block([[np.zeros((6, 6)), dense], [dense.T, links]])
    result = adjacency.bipartite(_read_only(dense), _read_only(links)).toarray()
    np.testing.assert_allclose(result, _dense_normalised(whole), atol=1e-7)
    assert result[6 + 2, 6 + 3] > 0
    assert result[6 + 3, 6 + 2] == 0


def test_bipartite_is_symmetric_to_the_last_bit_and_its_spectrum_is_bounded() -> None:
    rng = np.random.default_rng(1)
    result = adjacency.bipartite(_read_only(rng.random((40, 30)) * (rng.random((40, 30)) < 0.2)))
    assert result.nnz > 100
    assert (result != result.T).nnz == 0
    assert np.abs(np.linalg.eigvalsh(result.toarray().astype(np.float64))).max() <= 1 + 1e-6


def test_rows_sum_to_one_and_zero_rows_stay_zero() -> None:
    dense = _toy() * np.arange(1, 6, dtype=np.float32)
    sums = adjacency.row_normalised(_read_only(dense)).toarray().sum(1)
    filled = dense.any(1)
    assert 3 <= filled.sum() < 6
    np.testing.assert_allclose(sums, filled, atol=1e-6)


def test_results_are_float32_sorted_free_of_stored_zeros_and_leave_the_input_alone() -> None:
    scrambled = sparse.csr_array(
        (np.array([1.0, 2.0, 0.0, 4.0]), np.array([2, 0, 1, 2]), np.array([0, 3, 3, 4])), shape=(3, 3)
    )
    before = scrambled.toarray()
    for result in (adjacency.row_normalised(scrambled), adjacency.symmetrically_normalised(scrambled)):
        assert result.dtype == np.float32
        assert result.has_sorted_indices
        assert result.data.all()
    assert adjacency.row_normalised(scrambled).nnz == 3
    np.testing.assert_array_equal(scrambled.toarray(), before)


def test_permuting_nodes_permutes_the_result() -> None:
    rng = np.random.default_rng(2)
    dense = rng.random((8, 8)) * (rng.random((8, 8)) < 0.4)
    order = rng.permutation(8)
    plain = adjacency.symmetrically_normalised(sparse.csr_array(dense)).toarray()
    permuted = adjacency.symmetrically_normalised(sparse.csr_array(dense[np.ix_(order, order)])).toarray()
    np.testing.assert_allclose(permuted, plain[np.ix_(order, order)], atol=1e-7)


@pytest.mark.parametrize("bad", [-1.0, np.nan, np.inf])
def test_bad_weights_are_refused(bad: float) -> None:
    matrix = sparse.csr_array(np.array([[0.0, 1.0], [bad, 0.0]]))
    for normalise in (adjacency.bipartite, adjacency.row_normalised, adjacency.symmetrically_normalised):
        with pytest.raises(DataError, match="finite weights"):
            normalise(matrix)


def test_shapes_and_types_are_checked() -> None:
    with pytest.raises(DataError, match="as many rows"):
        adjacency.symmetrically_normalised(sparse.csr_array((2, 3)))
    with pytest.raises(DataError, match=r"\(3, 3\)"):
        adjacency.bipartite(sparse.csr_array((2, 3)), sparse.csr_array((2, 2)))
    with pytest.raises(DataError, match="ndarray"):
        adjacency.row_normalised(np.ones((2, 2)))
