"""Mean and biases of ratings: what must be beaten before anything else counts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from raymm.ratings.table import ColdStart, RatingTable

SHRINKAGES = (1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Ratings of average kind that a bias is mixed with; the best of them is chosen by leave-one-out error."""
RATER_SHRINKAGE = 5.0
"""The same for the biases that are taken off raters of target items."""


@dataclass(frozen=True, eq=False)
class ItemBias:
    """How much better than the mean each item is rated, shrunken: `b_i = (sum(r - mean) + k l_i) / (count + k)`.

    What an item is drawn to is `l_i = intercept + slope log(1 + count)`: where the popular are rated better, a rare
    item is no average one. In the plain form it is 0.

    Attributes:
        mean: Mean of all ratings.
        shrinkage: k, number of usual ratings that each item is given beside its own.
        sums: (I,) sums of `r - mean`.
        counts: (I,) ratings of each item.
        intercept: Of the line.
        slope: Of the line.
    """

    mean: float
    shrinkage: float
    sums: np.ndarray
    counts: np.ndarray
    intercept: float = 0.0
    slope: float = 0.0

    @property
    def values(self) -> np.ndarray:
        """(I,) the biases; of an item that nobody rated, where the line begins."""
        return self._shrunken(self.sums, self.counts)

    def leave_one_out(self, items: np.ndarray, ratings: np.ndarray) -> np.ndarray:
        """Return each row's item bias as it is without that row: what a training row may know of its own item."""
        return self._shrunken(self.sums[items] - (ratings - self.mean), self.counts[items] - 1.0)

    def _shrunken(self, sums: np.ndarray, counts: np.ndarray) -> np.ndarray:
        usual = self.intercept + self.slope * np.log1p(counts)
        return np.asarray((sums + self.shrinkage * usual) / (counts + self.shrinkage), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Floor:
    """Item bias plus the user's bias in the source domain: `mean + item_slope * b_i + offset + slope * b_u`.

    A model of cold-start ratings that is not better than this has learned nothing about taste.

    Attributes:
        items: Item biases of the target domain.
        rater_bias: (target users,) what was taken off their ratings before `items` was fitted; zeros in the plain form.
        source_items: Item biases of the source domain.
        user_bias: (source users,) shrunken mean of what a user gives above the items' biases.
        user_shrinkage: Its shrinkage.
        offset: Fitted on shared users.
        slope: Fitted on shared users.
        item_slope: Fitted on shared users; 1 in the plain form.
    """

    items: ItemBias
    rater_bias: np.ndarray
    source_items: ItemBias
    user_bias: np.ndarray
    user_shrinkage: float
    offset: float
    slope: float
    item_slope: float = 1.0

    def user_part(self, source_users: np.ndarray) -> np.ndarray:
        """Return all but the item bias: (n,) source users, -1 for unknown ones (who get the mean), to (n,)."""
        known = np.where(source_users >= 0, self.offset + self.slope * self.user_bias[source_users], 0.0)
        return np.asarray(self.items.mean + known)

    def predict(self, source_users: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Predict ratings of (n,) source users and (n,) target items: (n,)."""
        return np.asarray(self.user_part(source_users) + self.item_slope * self.items.values[items])

    def left_out(self, rows: RatingTable) -> np.ndarray:
        """Return the item bias of each target row as it is without that row: (n,)."""
        return self.items.leave_one_out(rows.items, rows.ratings - self.rater_bias[rows.users])


def fit_item_bias(
    table: RatingTable, shrinkages: Sequence[float] = SHRINKAGES, by_popularity: bool = False
) -> ItemBias:
    """Fit item biases; the shrinkage is the one with the least leave-one-out squared error.

    Args:
        table: Ratings.
        shrinkages: Candidates.
        by_popularity: Draw items to a line in the logarithm of how many rated them, instead of to the mean of ratings.
            It is fitted to the items' means, each weighed by how far it can be trusted, `count / (count + shrinkage)`.
    """
    mean = table.mean
    sums, counts = table.item_sums(table.ratings - mean), table.item_counts

    def fitted(shrinkage: float) -> tuple[float, ItemBias]:
        line = _popularity_line(sums, counts, shrinkage) if by_popularity else (0.0, 0.0)
        bias = ItemBias(mean, shrinkage, sums, counts, *line)
        missed = table.ratings - mean - bias.leave_one_out(table.items, table.ratings)
        return float(missed @ missed), bias

    return min((fitted(shrinkage) for shrinkage in shrinkages), key=lambda one: one[0])[1]


def shrunken_user_bias(table: RatingTable, item_bias: ItemBias, shrinkage: float) -> np.ndarray:
    """Return what users give above the mean and the items' biases: (U,), 0 of a user without ratings."""
    above = table.ratings - item_bias.mean - item_bias.values[table.items]
    return np.asarray(table.user_sums(above) / (table.user_counts + shrinkage))


def fit_floor(problem: ColdStart, corrected: bool = False, shrinkages: Sequence[float] = SHRINKAGES) -> Floor:
    """Fit the floor on the target ratings of shared users, each row with its item bias left out.

    Offset and slopes are least squares; the shrinkage of users is the one with which these fit best.

    Args:
        problem: Training ratings.
        corrected: Take raters' own biases off before items' biases are fitted, as mild raters make an item look good;
            draw items that few rated to what is usual for so few, not to the mean; and fit a slope of the item bias.
            The plain form is the yardstick, this one the better base.
        shrinkages: Candidates.
    """
    target = problem.target
    rater_bias = np.zeros(target.n_users)
    if corrected:
        rater_bias = shrunken_user_bias(target, fit_item_bias(target, shrinkages, corrected), RATER_SHRINKAGE)
    items = fit_item_bias(target.with_ratings(target.ratings - rater_bias[target.users]), shrinkages, corrected)
    source_items = fit_item_bias(problem.source, shrinkages)
    start = Floor(items, rater_bias, source_items, np.zeros(problem.source.n_users), 0.0, 0.0, 0.0)
    rows = target.rows(problem.shared_rows)
    left_out = start.left_out(rows)

    def fitted(shrinkage: float) -> tuple[float, Floor]:
        bias = shrunken_user_bias(problem.source, source_items, shrinkage)
        inputs = np.column_stack([np.ones(len(left_out)), bias[problem.source_of[rows.users]], left_out])
        free = inputs if corrected else inputs[:, :2]
        wanted = rows.ratings - items.mean - (0.0 if corrected else left_out)
        weights, *_ = np.linalg.lstsq(free, wanted, rcond=None)
        missed = wanted - free @ weights
        floor = replace(
            start,
            user_bias=bias,
            user_shrinkage=shrinkage,
            offset=float(weights[0]),
            slope=float(weights[1]),
            item_slope=float(weights[2]) if corrected else 1.0,
        )
        return float(missed @ missed), floor

    return min((fitted(shrinkage) for shrinkage in shrinkages), key=lambda one: one[0])[1]


def _popularity_line(sums: np.ndarray, counts: np.ndarray, shrinkage: float) -> tuple[float, float]:
    """Fit items' means to the logarithm of their counts, by weighted least squares: intercept and slope."""
    rated = counts > 0
    inputs = np.column_stack([np.ones(int(rated.sum())), np.log1p(counts[rated])])
    weights = np.sqrt(counts[rated] / (counts[rated] + shrinkage))
    (intercept, slope), *_ = np.linalg.lstsq(
        inputs * weights[:, None], weights * sums[rated] / counts[rated], rcond=None
    )
    return float(intercept), float(slope)
