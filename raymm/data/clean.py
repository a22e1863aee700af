"""Cleaning by stated rules: repeated interactions, the k-core, short histories, repeated items."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd

# A history is ordered by the recipe's key; equal keys keep the order of sources, pieces and lines.
HISTORY_ORDER = ["domain", "hash", "user", "key", "piece", "line"]


def in_history_order(rows: pd.DataFrame) -> pd.DataFrame:
    """Sort interactions by domain, user and place in the user's history; the order does not depend on the input's."""
    return rows.sort_values(HISTORY_ORDER, kind="stable", ignore_index=True)


def without_repeats(rows: pd.DataFrame, which: Literal["first", "last"] = "first") -> pd.DataFrame:
    """Keep one interaction of a user with an item.

    The first says when an item was found, which is what a recommender is asked for; the last is the user's latest
    word where ratings count. Where a split is given, the earliest part goes first: what is in training is nothing to
    be found later, and what chose the model is nothing to test it on.

    Args:
        rows: Interactions in history order; a column `label`, where there is one, names the part of a given split.
        which: Which of the repeats stays.

    Returns:
        Rows in the same order, each (domain, user, item) once.
    """
    ordered = rows if which == "first" else rows.iloc[::-1]
    if "label" in rows:
        ordered = ordered.sort_values("label", kind="stable")
    once = ordered.drop_duplicates(["domain", "user", "item"], keep="first")
    return once.sort_index().reset_index(drop=True)


def core_rows(users: np.ndarray, items: np.ndarray, core_items: np.ndarray, least: int) -> np.ndarray:
    """Mark the interactions that are left once only `core_items` stay and users with fewer than `least` of them go.

    Args:
        users: (n,) int64.
        items: (n,) int64.
        core_items: (I,) bool, items that are still in.
        least: Least interactions of a user.

    Returns:
        (n,) bool.
    """
    rows: np.ndarray = core_items[items]
    counts = np.bincount(users[rows], minlength=int(users.max(initial=-1)) + 1)
    left: np.ndarray = rows & (counts >= least)[users]
    return left


def k_core(count_items: Callable[[np.ndarray], np.ndarray], n_items: int, least: int) -> tuple[np.ndarray, int]:
    """Find the items of the k-core: the largest set of users and items with enough interactions among themselves.

    It is unique, so that any order of removal finds it; here users go within `count_items`, items between two calls.
    Interactions may be spread over machines: only counts of items travel.

    Args:
        count_items: From (I,) bool, items that are still in, to (I,) counts of the interactions with users who have
            enough of those items (`core_rows`, summed over all interactions).
        n_items: Number of items I.
        least: Least interactions of an item.

    Returns:
        (I,) bool, the items of the core, and the number of passes it took.
    """
    core = np.ones(n_items, dtype=bool)
    passes = 0
    while True:
        passes += 1
        smaller = core & (count_items(core) >= least)
        if np.array_equal(smaller, core):
            return core, passes
        core = smaller


def long_histories(users: np.ndarray, rows: np.ndarray, least: int) -> np.ndarray:
    """Mark the interactions among `rows` of users with at least `least` of them: (n,) bool."""
    counts = np.bincount(users[rows], minlength=int(users.max(initial=-1)) + 1)
    left: np.ndarray = rows & (counts >= least)[users]
    return left
