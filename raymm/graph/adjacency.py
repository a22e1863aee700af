"""Interaction matrices to normalised adjacency matrices, scipy in and scipy out."""

from __future__ import annotations

import numpy as np
from scipy import sparse

from raymm.errors import DataError


def bipartite(interactions: sparse.csr_array, item_edges: sparse.csr_array | None = None) -> sparse.csr_array:
    """Build the symmetrically normalised user-item graph, `D^-1/2 [[0, R], [R^T, Z]] D^-1/2`.

    Source: LightGCN (arXiv 2002.02126), eqs. 6 and 7, with Z = 0; GUME (arXiv 2407.12338), enhanced user-item graph,
    where Z holds links between items that are alike. D is the diagonal of the row sums of the whole matrix.

    Args:
        interactions: R, (U, I) non-negative weights, usually ones.
        item_edges: Z, (I, I) non-negative weights, taken as given (it need not be symmetric); None for no such links.

    Returns:
        (U + I, U + I) float32; users come first. Users and items without any link have zero rows and columns.

    Raises:
        DataError: A matrix is not sparse, has a negative or non-finite entry, or the shapes do not fit.
    """
    _check(interactions, "interactions")
    items = interactions.shape[1]
    if item_edges is not None:
        _check(item_edges, "item edges")
        if item_edges.shape != (items, items):
            raise DataError(f"item edges of shape {item_edges.shape}", f"({items}, {items})", "item edges")
    weights = sparse.csr_array(interactions)
    return symmetrically_normalised(sparse.block_array([[None, weights], [weights.T, item_edges]], format="csr"))


def row_normalised(interactions: sparse.csr_array) -> sparse.csr_array:
    """Divide each row by its sum, so that a product with the result takes weighted means of rows.

    Args:
        interactions: (U, I) non-negative weights.

    Returns:
        (U, I) float32 whose rows sum to one; zero rows stay zero.

    Raises:
        DataError: The matrix is not sparse, or has a negative or non-finite entry.
    """
    _check(interactions, "matrix")
    matrix, sums = _with_row_sums(interactions)
    factors = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return _scaled(matrix, np.repeat(factors, np.diff(matrix.indptr)))


def symmetrically_normalised(matrix: sparse.csr_array) -> sparse.csr_array:
    """Scale entry (i, j) by `(d_i d_j)^-1/2`, where d holds the row sums.

    The row sums serve both ends even where the matrix is not symmetric, as in the item graphs of GUME
    (arXiv 2407.12338). A symmetric matrix stays so in every bit, and the eigenvalues of its result lie in [-1, 1].

    Args:
        matrix: (N, N) non-negative weights.

    Returns:
        (N, N) float32 with sorted indices; rows and columns of nodes whose row sum is zero are zero.

    Raises:
        DataError: The matrix is not sparse or not square, or has a negative or non-finite entry.
    """
    _check(matrix, "matrix")
    if matrix.shape[0] != matrix.shape[1]:
        raise DataError(f"a matrix of shape {matrix.shape}", "as many rows as columns", "symmetric normalisation")
    matrix, sums = _with_row_sums(matrix)
    roots = np.sqrt(sums)
    factors = np.divide(1.0, roots, out=np.zeros_like(roots), where=sums > 0)
    # One commutative product of the two factors keeps (i, j) and (j, i) equal to the last bit.
    return _scaled(matrix, np.repeat(factors, np.diff(matrix.indptr)) * factors[matrix.indices])


def _check(matrix: sparse.csr_array, where: str) -> None:
    if not sparse.issparse(matrix) or matrix.ndim != 2:
        raise DataError(f"{type(matrix).__name__}", "a scipy sparse matrix of two dimensions", where)
    stored = sparse.csr_array(matrix).data
    if len(stored) and not (np.isfinite(stored).all() and stored.min() >= 0):
        raise DataError(
            f"weights from {stored.min()} to {stored.max()}",
            "finite weights that are not negative",
            where,
            "drop or clip these entries before normalising",
        )


def _with_row_sums(matrix: sparse.csr_array) -> tuple[sparse.csr_array, np.ndarray]:
    """Copy to canonical CSR (sorted, duplicates added, no stored zeros) in float64, with the sum of each row."""
    matrix = sparse.csr_array(matrix, dtype=np.float64, copy=True)  # a copy: inputs may be read-only
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix, np.asarray(matrix.sum(axis=1)).ravel()


def _scaled(matrix: sparse.csr_array, factors: np.ndarray) -> sparse.csr_array:
    scaled = (matrix.data * factors).astype(np.float32)
    return sparse.csr_array((scaled, matrix.indices, matrix.indptr), shape=matrix.shape)
