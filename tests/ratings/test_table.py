"""Ratings as rows."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from raymm.contracts import Domain, TrainData
from raymm.errors import DataError
from raymm.ratings.table import cold_start, table_of


def _domain(name, dense, times=None, ratings=True):
    matrix = sparse.csr_array((np.array(dense) > 0).astype(np.float32))
    values = np.array(dense)[np.array(dense) > 0].astype(np.float32)
    return Domain(name, matrix, ratings=values if ratings else None, times=times)


A = [[5, 3, 0], [0, 2, 4], [1, 0, 0]]
B = [[0, 0], [4, 2], [0, 5], [3, 0]]


def test_rows_stand_by_user_and_time() -> None:
    found = table_of(_domain("a", A, times=np.array([9, 3, 5, 2, 1])))
    assert found.users.tolist() == [0, 0, 1, 1, 2]
    assert found.items.tolist() == [1, 0, 2, 1, 0]
    assert found.ratings.tolist() == [3, 5, 4, 2, 1]
    assert (found.mean, found.scale) == (3, (1, 5))
    assert found.user_counts.tolist() == [2, 2, 1]
    assert found.item_sums(found.ratings).tolist() == [6, 5, 4]
    assert found.by_item().user_sums(found.ratings).tolist() == [6, 5, 4]


def test_people_are_found_in_the_source_whichever_domain_comes_first() -> None:
    shared = np.array([[0, 1], [1, 2], [2, 0]])
    data = TrainData((_domain("a", A), _domain("b", B)), shared, "toy")
    forth, back = cold_start(data, "a", "b"), cold_start(data, "b", "a")
    assert forth.source_of.tolist() == [2, 0, 1, -1]
    assert forth.target.users[forth.shared_rows].tolist() == [1, 1, 2]
    assert back.source_of.tolist() == [1, 2, -1]  # the third has no rating in b


def test_what_cannot_be_transferred_is_refused() -> None:
    shared = np.array([[0, 1], [1, 2]])
    with pytest.raises(DataError, match="no ratings"):
        cold_start(TrainData((_domain("a", A, ratings=False), _domain("b", B)), shared, "toy"), "a", "b")
    with pytest.raises(DataError, match="fewer than two users"):
        cold_start(TrainData((_domain("a", A), _domain("b", B)), shared[:1], "toy"), "a", "b")
    with pytest.raises(DataError, match="two domains"):
        cold_start(TrainData((_domain("a", A), _domain("b", B)), shared, "toy"), "a", "a")
