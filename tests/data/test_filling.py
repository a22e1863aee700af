from __future__ import annotations

import numpy as np
import pytest

from raymm.data import filling
from raymm.data.filling import fill_missing, not_finite, to_unit_length


def values() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)


def test_mean_is_that_of_present_rows_whatever_is_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    present = np.array([True, False, True, True, False, True, True])
    found, expected = values(), values()[present].astype(np.float64).mean(axis=0)
    monkeypatch.setattr(filling, "CHUNK_ROWS", 2)
    fill_missing(found, present)
    np.testing.assert_allclose(found[[1, 4]], [expected, expected], rtol=1e-6)
    np.testing.assert_array_equal(found[present], values()[present])


@pytest.mark.parametrize("fill", ["zero", "learned"])
def test_zero_and_learned_rows_start_as_zeros(fill: filling.Fill) -> None:
    found = values()
    fill_missing(found, np.arange(7) != 2, fill)
    assert (found[2] == 0).all()
    np.testing.assert_array_equal(np.delete(found, 2, axis=0), np.delete(values(), 2, axis=0))


def test_nothing_changes_where_nothing_is_missing() -> None:
    found = values()
    fill_missing(found, np.ones(7, dtype=bool))
    np.testing.assert_array_equal(found, values())


def test_unit_rows_keep_their_direction_and_zero_stays_zero() -> None:
    rows = np.concatenate([values() * 1e20, np.zeros((1, 3), dtype=np.float32)])
    unit = to_unit_length(rows)
    np.testing.assert_allclose(np.linalg.norm(unit[:-1], axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(unit[:-1] * np.linalg.norm(values(), axis=1, keepdims=True), values(), rtol=1e-5)
    assert (unit[-1] == 0).all()


def test_what_cannot_be_stored_is_seen() -> None:
    rows = np.array([[1.0, 2.0], [np.nan, 0.0], [0.0, -np.inf], [7e4, 0.0]])
    assert not_finite(rows, "float32").tolist() == [False, True, True, False]
    assert not_finite(rows, "float16").tolist() == [False, True, True, True]
