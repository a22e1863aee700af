"""Cold users have nothing left in the target, and everything in the source."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.errors import DataError
from raymm.ratings.protocol import redraw
from tests.ratings.toys import whole


def test_three_parts_share_no_user_and_lose_no_rating() -> None:
    problem = whole()
    left, validation, test = redraw(problem, 0.5, np.random.default_rng(0))
    users = [set(part.users.tolist()) for part in (left.target, validation, test)]
    assert [len(one) for one in users] == [108, 12, 120]
    assert len(set.union(*users)) == 240
    assert len(left.target.users) + len(validation.users) + len(test.users) == len(problem.target.users)
    assert left.source is problem.source
    assert (problem.source.user_counts[left.source_of[test.users]] > 0).all()
    assert (left.target.item_counts >= 0).all()


def test_a_seed_repeats_and_too_few_users_are_refused() -> None:
    problem = whole()
    draws = [redraw(problem, 0.2, np.random.default_rng(seed))[2].users for seed in (3, 3, 4)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(np.unique(draws[0]), np.unique(draws[2]))
    with pytest.raises(DataError, match="two who stay"):
        redraw(problem, 0.999, np.random.default_rng(0))
