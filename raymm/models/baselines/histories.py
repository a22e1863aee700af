"""Scorers of a user's history times weights between items."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from raymm.scorers import SparseItemScorer


def sparse_item_scorer(interactions: sparse.csr_array, weights: sparse.csr_array) -> SparseItemScorer:
    """Make the scorer of `interactions @ weights`.

    Args:
        interactions: (U, I) CSR.
        weights: (I, I) CSR; entry (i, j) is what item i in a history says for item j.
    """
    weights = sparse.csr_array(weights)
    arrays = (
        (interactions.indptr, np.int64),
        (interactions.indices, np.int64),
        (interactions.data, np.float32),
        (weights.indptr, np.int64),
        (weights.indices, np.int64),
        (weights.data, np.float32),
    )
    return SparseItemScorer(*(torch.from_numpy(array.astype(kind)) for array, kind in arrays))


def strongest_of_columns(weights: sparse.csr_array, k: int) -> sparse.csr_array:
    """Keep the k entries of each column that are largest in size; equal ones go to the lower row.

    Args:
        weights: (I, I).
        k: At least 1.
    """
    columns = sparse.csc_array(weights)
    columns.sum_duplicates()
    owners = np.repeat(np.arange(columns.shape[1]), np.diff(columns.indptr))
    order = np.lexsort((columns.indices, -np.abs(columns.data), owners))
    places = np.arange(len(order)) - np.repeat(columns.indptr[:-1], np.diff(columns.indptr))
    kept = order[places < k]
    return sparse.csr_array((columns.data[kept], (columns.indices[kept], owners[kept])), shape=weights.shape)
