"""Neighbour search against brute force in float64."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from scipy import sparse

from raymm.errors import DataError
from raymm.graph import neighbours


def _features(items: int = 60, columns: int = 7, seed: int = 0) -> np.ndarray:
    values = np.random.default_rng(seed).standard_normal((items, columns)).astype(np.float32)
    values.flags.writeable = False
    return values


def _ties(items: int = 90) -> np.ndarray:
    """Few distinct rows, so that most similarities are shared by many items; two rows are zero."""
    values = np.random.default_rng(3).integers(0, 2, (items, 4)).astype(np.float32)
    values[[4, 50]] = 0
    assert len(np.unique(values, axis=0)) <= 16
    return values


def _cosines(values: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(values.astype(np.float64), axis=1)
    norms[norms == 0] = np.inf
    return (values.astype(np.float64) @ values.T.astype(np.float64)) / np.outer(norms, norms)


def _brute(values: np.ndarray, k: int, include_self: bool = False) -> np.ndarray:
    """Loop over items: sort all others by similarity, then by number."""
    cosines = np.round(_cosines(values), 6)
    result = np.zeros_like(cosines)
    for i, row in enumerate(cosines):
        wanted = k
        if include_self and row[i] > 0:
            result[i, i] = 1
            wanted = k - 1
        others = sorted((j for j in range(len(row)) if j != i and row[j] > 0), key=lambda j: (-row[j], j))
        for j in others[:wanted]:
            result[i, j] = row[j]
    return result


def _equal(left: sparse.csr_array, right: sparse.csr_array) -> bool:
    return all(
        np.array_equal(getattr(left, name), getattr(right, name)) for name in ("data", "indices", "indptr", "shape")
    )


@pytest.mark.parametrize("include_self", [False, True])
@pytest.mark.parametrize("k", [1, 5, 200])
@pytest.mark.parametrize("values", [_features(), _ties()], ids=["plain", "ties"])
def test_neighbours_equal_brute_force(values: np.ndarray, k: int, include_self: bool) -> None:
    result = neighbours.cosine_neighbours(values, k, block_rows=16, include_self=include_self)
    expected = _brute(values, k, include_self)
    assert (expected > 0).sum() >= 60
    np.testing.assert_allclose(result.toarray(), expected, atol=2e-6)
    np.testing.assert_array_equal(result.toarray() > 0, expected > 0)
    assert result.dtype == np.float32
    assert result.has_sorted_indices


def test_every_row_has_k_entries_with_itself_first_where_all_are_similar() -> None:
    values = np.abs(_features())
    result = neighbours.cosine_neighbours(values, 10, include_self=True)
    assert (np.diff(result.indptr) == 10).all()
    np.testing.assert_array_equal(result.diagonal(), 1)
    assert (neighbours.cosine_neighbours(values, 10).diagonal() == 0).all()


@pytest.mark.parametrize("values", [_features(), _ties()], ids=["plain", "ties"])
def test_the_block_size_and_the_shards_do_not_matter(values: np.ndarray) -> None:
    whole = neighbours.cosine_neighbours(values, 5, block_rows=1000)
    for block_rows in (1, 7, 64):
        assert _equal(neighbours.cosine_neighbours(values, 5, block_rows=block_rows), whole)
    bounds = [0, 13, 13, 14, len(values)]
    shards = [
        neighbours.cosine_neighbours(values, 5, block_rows=9, rows=range(start, stop))
        for start, stop in zip(bounds, bounds[1:], strict=False)
    ]
    assert _equal(sparse.csr_array(sparse.vstack(shards, format="csr")), whole)


def test_ties_that_only_rounding_breaks_stay_ties() -> None:
    """All rows are one direction at many scales: every similarity is 1, whatever a block's arithmetic says."""
    rng = np.random.default_rng(0)
    values = np.outer(rng.uniform(0.1, 1e6, 70), rng.standard_normal(33)).astype(np.float32)
    cosines = _cosines(values)
    assert cosines.min() > 1 - 1e-6
    results = [neighbours.cosine_neighbours(values, 3, block_rows=rows) for rows in (3, 70)]
    assert _equal(*results)


def test_equal_items_by_the_hundred_link_to_the_first_of_them() -> None:
    values = np.concatenate([np.tile([[1.0, 2.0, 0.5]], (300, 1)), _features(20, 3)]).astype(np.float32)
    result = neighbours.cosine_neighbours(values, 4)
    np.testing.assert_array_equal(result[[250]].indices, [0, 1, 2, 3])
    np.testing.assert_array_equal(result[[2]].indices, [0, 1, 3, 4])


def test_scales_of_rows_do_not_matter_and_extreme_ones_are_safe() -> None:
    values = _features().astype(np.float64)
    scales = 10.0 ** np.random.default_rng(1).integers(-200, 200, len(values))
    plain, scaled = (neighbours.cosine_neighbours(x, 5) for x in (values, values * scales[:, None]))
    np.testing.assert_array_equal(plain.indices, scaled.indices)
    np.testing.assert_allclose(plain.data, scaled.data, atol=1e-6)


def test_permuting_items_permutes_the_neighbours() -> None:
    values = _features()
    order = np.random.default_rng(5).permutation(len(values))
    plain = neighbours.cosine_neighbours(values, 5).toarray()
    permuted = neighbours.cosine_neighbours(values[order], 5).toarray()
    np.testing.assert_allclose(permuted, plain[np.ix_(order, order)], atol=1e-7)


def test_absent_items_and_zero_rows_have_no_edges_even_to_themselves() -> None:
    values = _features().copy()
    present = np.ones(len(values), bool)
    present[[3, 59]] = False
    values[3] = np.nan
    values[10] = 0
    for include_self in (False, True):
        result = neighbours.cosine_neighbours(values, 5, present=present, include_self=include_self).toarray()
        gone = [3, 10, 59]
        assert not result[gone].any()
        assert not result[:, gone].any()
        kept = np.delete(np.arange(60), gone)
        expected = _brute(values[kept], 5, include_self)
        np.testing.assert_allclose(result[np.ix_(kept, kept)], expected, atol=2e-6)
    nobody = neighbours.cosine_neighbours(values, 5, present=np.zeros(60, bool), include_self=True)
    assert nobody.shape == (60, 60)
    assert nobody.nnz == 0


def test_similarities_are_read_exactly_on_a_support_and_by_shards() -> None:
    values = _features()
    support = neighbours.union_support([neighbours.cosine_neighbours(_features(seed=seed), 4) for seed in (1, 2)])
    result = neighbours.read_similarities(values, support)
    np.testing.assert_array_equal(result.indices, support.indices)
    expected = np.maximum(_cosines(values), 0) * (support.toarray() > 0)
    assert (result.data == 0).any()
    assert (result.data > 0).any()
    np.testing.assert_allclose(result.toarray(), expected, atol=1e-6)
    assert (result != result.T).nnz == 0
    shards = [neighbours.read_similarities(values, support[a:b], start=a) for a, b in ((0, 25), (25, 60))]
    assert _equal(sparse.csr_array(sparse.vstack(shards, format="csr")), result)


def test_readings_agree_with_the_search_to_the_last_bit() -> None:
    values = _features()
    found = neighbours.cosine_neighbours(values, 5)
    assert _equal(neighbours.read_similarities(values, found), found)


def test_absent_items_read_as_zero() -> None:
    values = _features(5)
    present = np.array([True, False, True, True, True])
    result = neighbours.read_similarities(values, sparse.csr_array(np.ones((5, 5))), present)
    assert result.nnz == 25
    assert not result.toarray()[1].any()
    assert not result.toarray()[:, 1].any()


def test_supports() -> None:
    left = sparse.csr_array(np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0.2, 0]]))
    right = sparse.csr_array(np.array([[0, 0.1, 0.9], [0, 0, 0], [0, 0, 0]]))
    np.testing.assert_array_equal(neighbours.union_support([left, right]).toarray(), [[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    np.testing.assert_array_equal(neighbours.common_support([left, right]).toarray(), [[0, 1, 0], [0, 0, 0], [0, 0, 0]])


def test_the_strongest_entries_of_a_row() -> None:
    rng = np.random.default_rng(0)
    dense = np.round(rng.random((40, 30)) * (rng.random((40, 30)) < 0.5), 1)
    dense[7] = 0
    result = neighbours.strongest(sparse.csr_array(dense), 4).toarray()
    for row, kept in zip(dense, result, strict=True):
        best = sorted(np.flatnonzero(row > 0), key=lambda j: (-row[j], j))[:4]
        np.testing.assert_array_equal(np.flatnonzero(kept), np.sort(best))
        np.testing.assert_array_equal(kept[best], row[best])


def test_memory_stays_far_below_all_pairs() -> None:
    values = _features(4000, 16)
    tracemalloc.start()
    result = neighbours.cosine_neighbours(values, 10, block_rows=64)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert result.nnz == 40_000
    assert peak < 4000 * 4000 * 4 / 4


def test_what_does_not_fit_is_refused() -> None:
    values = _features()
    with pytest.raises(DataError, match="at least 1"):
        neighbours.cosine_neighbours(values, 0)
    with pytest.raises(DataError, match="at least 1"):
        neighbours.cosine_neighbours(values, 1, block_rows=0)
    with pytest.raises(DataError, match="items, columns"):
        neighbours.cosine_neighbours(values[0], 1)
    with pytest.raises(DataError, match="consecutive rows"):
        neighbours.cosine_neighbours(values, 1, rows=range(10, 70))
    with pytest.raises(DataError, match="mask"):
        neighbours.cosine_neighbours(values, 1, present=np.ones(3, bool))
    with pytest.raises(DataError, match="finite values for every present item"):
        neighbours.cosine_neighbours(np.full((3, 2), np.inf), 1)
    with pytest.raises(DataError, match="support"):
        neighbours.read_similarities(values, sparse.csr_array((3, 3)))
    with pytest.raises(DataError, match="at least 1"):
        neighbours.strongest(sparse.csr_array((3, 3)), 0)
