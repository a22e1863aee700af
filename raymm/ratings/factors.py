"""Regularised factors of residuals in closed form, and what an item's factors are without one of its ratings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from raymm.ratings.table import RatingTable

_BLOCK = 1 << 16  # rows whose moments are held at a time


@dataclass(frozen=True, eq=False)
class ItemRegression:
    """Each item's residuals regressed on its raters' vectors: `(sum p p' + ridge I) v_i = sum p e`.

    Attributes:
        vectors: (I, D) the solutions; 0 of an item that nobody rated.
        ridge: The ridge.
        grams: (I, D, D) `sum p p'`, without the ridge.
        sides: (I, D) `sum p e`.
        totals: (I, D) `sum p`.
    """

    vectors: np.ndarray
    ridge: float
    grams: np.ndarray
    sides: np.ndarray
    totals: np.ndarray

    def leave_one_out(
        self, items: np.ndarray, raters: np.ndarray, residuals: np.ndarray, shifts: np.ndarray
    ) -> np.ndarray:
        """Return each row's item vector as it is without that row.

        A row's rating is in the item's bias too, hence in the residuals of all other raters; taking it out moves the
        bias from b to b', and the others' residuals by `b - b'`.

        Args:
            items: (n,) items.
            raters: (n, D) vectors of the users who rated.
            residuals: (n,) the residuals that the regression was fitted on.
            shifts: (n,) `b - b'` of each row's item.

        Returns:
            (n, D), exactly what a regression without the row gives.
        """
        result = np.empty_like(raters)
        eye = self.ridge * np.eye(raters.shape[1])
        for start in range(0, len(items), _BLOCK):
            part = slice(start, start + _BLOCK)
            own, who = items[part], raters[part]
            grams = self.grams[own] - who[:, :, None] * who[:, None, :] + eye
            sides = self.sides[own] - who * residuals[part, None]
            sides += shifts[part, None] * (self.totals[own] - who)
            result[part] = np.linalg.solve(grams, sides[:, :, None])[:, :, 0]
        return result


def factorise(
    table: RatingTable,
    residuals: np.ndarray,
    width: int,
    ridge: float,
    generator: np.random.Generator,
    sweeps: int = 15,
) -> tuple[np.ndarray, np.ndarray]:
    """Factorise residuals by alternating least squares: min sum (e - <p_u, q_i>)^2 + ridge (|P|^2 + |Q|^2).

    Source: Zhou et al., "Large-scale Parallel Collaborative Filtering for the Netflix Prize" (AAIM 2008), with one
    weight for all vectors instead of one a rating.

    Args:
        table: Who rated what.
        residuals: (n,) what is left of each rating.
        width: D.
        ridge: Weight of the squared vectors.
        generator: Draws the small start values of the items.
        sweeps: Rounds; each solves all users, then all items.

    Returns:
        (U, D) users and (I, D) items. The users are solved last for the items returned, so that a new user's vector
        (`fold_in`) is what it would have been. With a large ridge both collapse towards zero, as they should.
    """
    items = 0.1 * generator.normal(size=(table.n_items, width))
    backward = table.by_item()
    for _ in range(sweeps):
        users = fold_in(table, residuals, items, ridge)
        items = fold_in(backward, residuals, users, ridge)
    return fold_in(table, residuals, items, ridge), items


def fold_in(table: RatingTable, residuals: np.ndarray, items: np.ndarray, ridge: float) -> np.ndarray:
    """Solve each user's ridge regression on the vectors of what the user rated: (U, D), 0 of a user without ratings."""
    grams, sides, _ = _moments(table, residuals, items)
    grams += ridge * np.eye(items.shape[1])
    return np.asarray(np.linalg.solve(grams, sides[:, :, None])[:, :, 0])


def regress_items(table: RatingTable, residuals: np.ndarray, users: np.ndarray, ridge: float) -> ItemRegression:
    """Regress each item's residuals on the vectors of its raters.

    Args:
        table: Who rated what.
        residuals: (n,) of each rating.
        users: (U, D) vectors, known without these ratings.
        ridge: Weight of the squared item vectors.
    """
    grams, sides, totals = _moments(table.by_item(), residuals, users)
    vectors = np.linalg.solve(grams + ridge * np.eye(users.shape[1]), sides[:, :, None])[:, :, 0]
    return ItemRegression(vectors, ridge, grams, sides, totals)


def _moments(table: RatingTable, residuals: np.ndarray, items: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return, for each user: sum of v v', sum of v e, sum of v over the items rated; as sparse products."""
    shape, width = (table.n_users, table.n_items), items.shape[1]
    pairs = (table.users, table.items)
    ones = sparse.csr_array((np.ones(len(residuals)), pairs), shape=shape)
    upper = np.triu_indices(width)  # the moments are symmetric: half of the products
    grams = np.empty((table.n_users, width, width))
    grams[:, upper[0], upper[1]] = ones @ (items[:, upper[0]] * items[:, upper[1]])
    grams[:, upper[1], upper[0]] = grams[:, upper[0], upper[1]]
    return grams, sparse.csr_array((residuals, pairs), shape=shape) @ items, ones @ items
