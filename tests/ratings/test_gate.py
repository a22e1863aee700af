"""Shares and gates by hand."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.ratings.gate import best_share


def test_the_share_is_least_squares_within_its_bounds() -> None:
    part, users = np.array([1.0, -1.0, 2.0, 1.0]), np.array([0, 0, 1, 1])
    assert best_share(0.4 * part, part, users).share == pytest.approx(0.4)
    assert best_share(3 * part, part, users).share == 1
    assert best_share(3 * part, part, users, most=np.inf).share == pytest.approx(3)
    against = best_share(-part, part, users)
    assert (against.share, against.mean) == (0, 0)
    assert not against.opens(0.0)


def test_the_gain_is_a_mean_over_users_with_its_error() -> None:
    part, users = np.ones(4), np.array([5, 5, 9, 9])
    gain = best_share(np.array([1.0, 1.0, 0.5, 0.5]), part, users)
    assert gain.share == pytest.approx(0.75)
    by_user = np.array([1 - 0.25**2, 0.25 - 0.25**2])
    assert gain.mean == pytest.approx(by_user.mean())
    assert gain.error == pytest.approx(by_user.std(ddof=1) / np.sqrt(2))
    assert gain.opens(1.0)
    assert not gain.opens(3.0)


def test_one_user_opens_no_gate() -> None:
    assert not best_share(np.ones(3), np.ones(3), np.zeros(3, int)).opens(2.0)
    assert best_share(np.ones(3), np.zeros(3), np.zeros(3, int)).share == 0
