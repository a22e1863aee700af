from __future__ import annotations

import numpy as np

from raymm.data.split import TEST, TRAIN, VALIDATION, leave_last_out, places_in_history


def test_last_is_for_the_test_and_the_one_before_for_validation() -> None:
    users = np.array([3, 3, 3, 3, 8, 8, 8, 9, 9, 11])
    expected = [TRAIN, TRAIN, VALIDATION, TEST, TRAIN, VALIDATION, TEST, TRAIN, TEST, TRAIN]
    assert leave_last_out(users).tolist() == expected
    assert places_in_history(users).tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 0]


def test_every_user_keeps_something_to_train_on() -> None:
    users = np.sort(np.random.default_rng(0).integers(0, 400, size=1_000))
    labels = leave_last_out(users)
    lengths = np.bincount(users)
    for user in np.unique(users):
        mine = labels[users == user]
        assert (mine == TRAIN).sum() == max(1, lengths[user] - 2)
        assert (mine == TEST).sum() == (lengths[user] >= 2)
        assert (mine == VALIDATION).sum() == (lengths[user] >= 3)


def test_no_users_split_to_nothing() -> None:
    assert len(leave_last_out(np.empty(0, dtype=np.int64))) == 0
