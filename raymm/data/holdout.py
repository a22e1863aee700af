"""Held-out and hidden (user, item) pairs to the matrices that an evaluation works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy import sparse

from raymm.contracts import Holdout

Pairs = tuple[np.ndarray, np.ndarray]


def build_holdout(domain: str, n_items: int, targets: Pairs, hidden: Sequence[Pairs]) -> Holdout:
    """Lay out what an evaluation looks for and what it hides.

    Args:
        domain: The domain's name.
        n_items: Number of items I.
        targets: Users and items, both (n,) int64, held out.
        hidden: Users and items that are known already, any number of such pairs of arrays; users without a target
            are left out.

    Returns:
        One row for each user with a target, ascending by user.

    Raises:
        DataError: There is no target.
    """
    users = np.unique(targets[0])
    shape = (len(users), n_items)
    known_users = np.concatenate([pairs[0] for pairs in hidden])
    known_items = np.concatenate([pairs[1] for pairs in hidden])
    wanted = np.isin(known_users, users)
    return Holdout(
        domain,
        users,
        _indicator(np.searchsorted(users, targets[0]), targets[1], shape),
        _indicator(np.searchsorted(users, known_users[wanted]), known_items[wanted], shape),
    )


def _indicator(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0  # a pair that was named twice has been added up
    matrix.sort_indices()
    return matrix
