"""Rating errors against worked numbers."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.errors import DataError, TrainingError
from raymm.evaluation.rating import errors_from_sums, rate
from tests.evaluation.toys import TableScorer

TABLE = TableScorer(np.array([[4.0, 6.0, 0.5], [2.0, 3.0, 3.5]]))
USERS, ITEMS, TRUTH = np.array([0, 0, 1, 0]), np.array([0, 1, 2, 2]), np.array([5.0, 5.0, 3.0, 1.0])


def test_errors_by_hand() -> None:
    # raw errors -1, 1, .5, -.5; the second and the last prediction lie off the scale and are exact once clipped
    values = rate(TABLE, USERS, ITEMS, TRUTH, (1, 5), block=3)
    assert values.errors() == pytest.approx(
        {"mae": 3 / 4, "rmse": np.sqrt(2.5 / 4), "mae_clipped": 1.5 / 4, "rmse_clipped": np.sqrt(1.25 / 4)}
    )
    users, errors = values.per_user()
    assert users.tolist() == [0, 1]
    assert errors["mae"] == pytest.approx([2.5 / 3, 0.5])
    assert errors["mse"] == pytest.approx([2.25 / 3, 0.25])
    assert errors["mae_clipped"] == pytest.approx([1 / 3, 0.5])
    assert errors["mse_clipped"] == pytest.approx([1 / 3, 0.25])


@pytest.mark.parametrize("block", [1, 2, 100])
def test_parts_add_up(block: int) -> None:
    whole = rate(TABLE, USERS, ITEMS, TRUTH, (1, 5)).errors()
    parts = [
        rate(TABLE, USERS[part], ITEMS[part], TRUTH[part], (1, 5), block).sums()
        for part in np.split(np.arange(4), [1, 1])
    ]
    assert len(parts) == 3
    assert errors_from_sums(parts) == pytest.approx(whole, abs=1e-15)


def test_bad_ratings_are_refused() -> None:
    with pytest.raises(DataError, match="three equal lengths"):
        rate(TABLE, USERS, ITEMS[:2], TRUTH, (1, 5))
    with pytest.raises(DataError, match="three equal lengths"):
        rate(TABLE, USERS, ITEMS, TRUTH, (5, 5))
    with pytest.raises(DataError, match="rating 5 of user 0"):
        rate(TABLE, USERS, ITEMS, TRUTH, (1, 4))
    with pytest.raises(DataError, match="nan"):
        rate(TABLE, USERS, ITEMS, np.array([1, 2, np.nan, 3]), (1, 5))
    with pytest.raises(DataError, match="no ratings"):
        rate(TABLE, USERS[:0], ITEMS[:0], TRUTH[:0], (1, 5)).errors()
    with pytest.raises(DataError, match="no ratings"):
        errors_from_sums([])
    broken = TableScorer(np.array([[1.0, np.inf]]))
    with pytest.raises(TrainingError, match="1 predictions that are not finite, the first for user 0"):
        rate(broken, np.zeros(2, int), np.arange(2), np.ones(2), (1, 5))
