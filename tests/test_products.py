"""Sums of scorers against dense products, whatever the blocks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.products import Csr, check_csr, known_ids, products, read_from_rows, voted


def _parts(matrix: np.ndarray) -> Csr:
    rows = sparse.csr_array(matrix.astype(np.float32))
    return (
        torch.from_numpy(rows.indptr.astype(np.int64)),
        torch.from_numpy(rows.indices.astype(np.int64)),
        torch.from_numpy(rows.data),
    )


def test_votes_are_added_to_what_is_there() -> None:
    rng = np.random.default_rng(0)
    histories, weights = rng.integers(0, 3, (5, 9)), rng.integers(-2, 3, (9, 4))
    users, start = torch.tensor([4, 0, 4]), torch.full((3, 4), 0.5, dtype=torch.float64)
    found = voted(_parts(histories), _parts(weights), users, start.clone())
    expected = (histories @ weights)[users.numpy()] + 0.5
    assert np.abs(expected).max() > 1
    np.testing.assert_array_equal(found.numpy(), expected.astype(np.float32))


def test_products_are_those_of_matrices() -> None:
    rows, items = torch.arange(6.0, dtype=torch.float64).view(2, 3), torch.arange(12.0).view(4, 3)
    assert torch.equal(products(rows, items), rows @ items.double().T)
    assert products(rows, items, torch.float32).dtype == torch.float32


def test_pairs_are_read_from_rows_of_distinct_users() -> None:
    asked = []

    def scores(users: torch.Tensor) -> torch.Tensor:
        asked.append(users.tolist())
        return users[:, None] * 10.0 + torch.arange(3)

    found = read_from_rows(scores, 3, torch.tensor([7, 2, 7]), torch.tensor([1, 0, 2]))
    assert found.tolist() == [71, 20, 72]
    assert asked == [[2, 7]]


def test_wrong_ids_and_matrices_are_refused() -> None:
    starts, columns, values = _parts(np.eye(3))
    check_csr("eye", starts, columns, values, 3)
    with pytest.raises(DataError, match="column of eye out of range"):
        check_csr("eye", starts, columns, values, 2)
    with pytest.raises(DataError, match="no CSR matrix"):
        check_csr("eye", starts, columns[:2], values, 3)
    with pytest.raises(DataError, match="users from -1 to 2"):
        known_ids("users", torch.tensor([-1, 2]), 3, torch.device("cpu"))
