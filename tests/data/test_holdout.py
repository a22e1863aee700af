from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raymm.data import layout
from raymm.data.holdout import build_holdout, build_rating_holdout, positive_pairs
from raymm.errors import DataError


def pairs(*values: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    array = np.array(values, dtype=np.int64).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def test_rows_are_the_users_with_a_target() -> None:
    holdout = build_holdout(
        "x", 5, pairs((7, 1), (2, 4), (7, 0)), [pairs((2, 0), (3, 3), (7, 2)), pairs((2, 1), (2, 0))]
    )
    assert holdout.users.tolist() == [2, 7]
    assert holdout.targets.toarray().tolist() == [[0, 0, 0, 0, 1], [1, 1, 0, 0, 0]]
    assert holdout.hidden.toarray().tolist() == [[1, 1, 0, 0, 0], [0, 0, 1, 0, 0]]


def test_nothing_held_out_is_an_error() -> None:
    with pytest.raises(DataError, match="at least one user"):
        build_holdout("x", 5, pairs(), [pairs((1, 1))])


def held_out(ratings: list[float | None]) -> pa.Table:
    columns = {
        "user": range(len(ratings)),
        "item": range(len(ratings)),
        "rating": ratings,
        "time": [None] * len(ratings),
    }
    return pa.table({name: list(values) for name, values in columns.items()}, schema=layout.HELD_OUT)


def test_positives_are_the_high_ratings() -> None:
    table = held_out([1.0, 4.0, None, 5.0, 3.5])
    assert positive_pairs(table, 4.0)[0].tolist() == [1, 3]
    assert positive_pairs(table, None)[0].tolist() == [0, 1, 2, 3, 4]


def test_ratings_to_predict_need_to_be_there() -> None:
    holdout = build_rating_holdout("x", held_out([1.0, 4.5]))
    assert (holdout.domain, holdout.users.tolist(), holdout.ratings.tolist()) == ("x", [0, 1], [1.0, 4.5])
    with pytest.raises(DataError, match="1 of 2 held-out interactions without a rating"):
        build_rating_holdout("x", held_out([1.0, None]))
    with pytest.raises(DataError, match="at least one"):
        build_rating_holdout("x", held_out([]))
