from __future__ import annotations

import numpy as np
import pytest

from raymm.data.holdout import build_holdout
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
