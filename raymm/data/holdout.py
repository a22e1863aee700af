"""Held-out and hidden interactions to what an evaluation works on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy import sparse

from raymm.contracts import Holdout, RatingHoldout
from raymm.errors import DataError

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


def build_rating_holdout(domain: str, table: pa.Table) -> RatingHoldout:
    """Lay out the ratings that an evaluation predicts.

    Args:
        domain: The domain's name.
        table: `layout.HELD_OUT`.

    Raises:
        DataError: There is none, or an interaction has no rating.
    """
    if table["rating"].null_count:
        raise DataError(
            f"{table['rating'].null_count:,} of {len(table):,} held-out interactions without a rating",
            "a rating for each",
            f"rating holdout of domain {domain!r}",
            "name the column of ratings in the recipe (columns.rating), and prepare the data set anew",
        )
    users, items, ratings = (table[name].to_numpy() for name in ("user", "item", "rating"))
    return RatingHoldout(domain, users, items, ratings)


def positive_pairs(table: pa.Table, least: float | None) -> Pairs:
    """Pick what a ranking should find among held-out interactions.

    Args:
        table: `layout.HELD_OUT`.
        least: Least rating of a positive; None: all of them are. An interaction without a rating is none otherwise.

    Returns:
        Users and items, both (n,) int64.
    """
    if least is not None:
        table = table.filter(pc.greater_equal(table["rating"], least))
    return table["user"].to_numpy(), table["item"].to_numpy()


def _indicator(rows: np.ndarray, columns: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=shape)
    matrix.data[:] = 1.0  # a pair that was named twice has been added up
    matrix.sort_indices()
    return matrix
