"""Which interactions are for training, which for selection, and which for the test."""

from __future__ import annotations

import dataclasses
from typing import Literal

import numpy as np

from raymm.config import setting

TRAIN, VALIDATION, TEST = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Split:
    """Which interactions are held out."""

    kind: Literal["leave_last_out"] = setting(
        "leave_last_out", "last: test; last but one: validation; the rest: training"
    )
    by: Literal["order", "time", "line"] = setting("order", "what orders a history; ties keep the order of the files")


def places_in_history(users: np.ndarray) -> np.ndarray:
    """Number each user's interactions from 0.

    Args:
        users: (n,) int64, ascending; a user's interactions stand in order.

    Returns:
        (n,) int64.
    """
    starts = np.searchsorted(users, users, side="left")
    return np.arange(len(users)) - starts


def leave_last_out(users: np.ndarray) -> np.ndarray:
    """Hold out each user's last interaction for the test and the last but one for validation.

    At least one interaction stays for training: of two, the last is for the test; a single one is for training.

    Args:
        users: (n,) int64, ascending; a user's interactions stand in order, ties broken.

    Returns:
        (n,) int8 of `TRAIN`, `VALIDATION`, `TEST`.
    """
    places = places_in_history(users)
    from_end = np.searchsorted(users, users, side="right") - 1 - np.arange(len(users))
    labels = np.full(len(users), TRAIN, dtype=np.int8)
    labels[(from_end == 0) & (places >= 1)] = TEST
    labels[(from_end == 1) & (places >= 1)] = VALIDATION
    return labels
