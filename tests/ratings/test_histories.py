"""Histories against a loop over users."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.ratings.histories import recent_histories
from tests.ratings.toys import random_table, table


@pytest.mark.parametrize("length", [1, 3, 30])
@pytest.mark.parametrize("least", [None, 4.0])
def test_the_last_items_in_order(length: int, least: float | None) -> None:
    ratings = random_table()
    found = recent_histories(ratings, length, least)
    assert found.shape == (30, length)
    for user in range(30):
        own = ratings.users == user
        items = [
            i for i, r in zip(ratings.items[own], ratings.ratings[own], strict=True) if least is None or r >= least
        ]
        expected = items[-length:]
        assert found[user].tolist() == expected + [20] * (length - len(expected))


def test_item_zero_is_an_item_and_an_empty_history_is_empty() -> None:
    found = recent_histories(table([(0, 0, 5), (2, 1, 1)], 3, 2), 2, 4.0)
    assert found.tolist() == [[0, 2], [2, 2], [2, 2]]
    assert found.dtype == np.int64
