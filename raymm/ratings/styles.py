"""How users rate, apart from what they rate; and the floor with it, floor+."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raymm.ratings.biases import Floor, ItemBias, fit_floor, shrunken_user_bias
from raymm.ratings.table import ColdStart, RatingTable

RIDGES = (10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e7)
"""Weights of the squared deviation from the floor; the largest is the floor itself in all but name."""
FOLDS = 5

_MOST_LEVELS, _BINS = 10, 5
_SMOOTHING = 5.0  # ratings of the average user that each user is mixed with
_CONSENSUS_SMOOTHING = 10.0


@dataclass(frozen=True, eq=False)
class Habits:
    """What the users of the source do in the mean, by which each of them, or a newcomer, is described.

    Attributes:
        mean: Mean rating of the source.
        item_bias: (source items,) its item biases.
        user_shrinkage: Shrinkage of user biases.
        levels: Levels of the scale but the highest, or inner edges of the bins of a scale of many levels.
        binned: 1 where `levels` are edges.
        shares: (levels,) share of the ratings at each level.
        spread: Mean square about the biases.
        bias_power: Mean square of the item bias over ratings.
    """

    mean: float
    item_bias: np.ndarray
    user_shrinkage: float
    levels: np.ndarray
    binned: float
    shares: np.ndarray
    spread: float
    bias_power: float

    def user_bias(self, table: RatingTable) -> np.ndarray:
        """Return what users of a table of source ratings give above mean and item biases: (U,)."""
        above = table.ratings - self.mean - self.item_bias[table.items]
        return np.asarray(table.user_sums(above) / (table.user_counts + self.user_shrinkage))

    def describe(self, table: RatingTable) -> np.ndarray:
        """Describe how each user of a table of source ratings rates: (U, features) float64.

        User bias; smoothed share of each level of the scale but the highest; standard deviation about the biases; log
        of the number of ratings; and how strongly the user follows the items' biases (a regression slope drawn to 1).
        """
        item_bias, user_bias = self.item_bias[table.items], self.user_bias(table)
        above = table.ratings - self.mean - item_bias - user_bias[table.users]
        counts = table.user_counts
        levels = [
            (table.user_sums(at_level) + _SMOOTHING * share) / (counts + _SMOOTHING)
            for at_level, share in zip(_at_levels(table.ratings, self.levels, self.binned), self.shares, strict=True)
        ]
        spread = np.sqrt((table.user_sums(above**2) + _SMOOTHING * self.spread) / (counts + _SMOOTHING))
        prior = _CONSENSUS_SMOOTHING * self.bias_power + 1e-12
        follows = (table.user_sums((above + item_bias) * item_bias) + prior) / (table.user_sums(item_bias**2) + prior)
        return np.column_stack([user_bias, *levels, spread, np.log1p(counts), follows])


@dataclass(frozen=True, eq=False)
class StyleMap:
    """From how a user rates in the source to his floor+ in the target.

    Attributes:
        habits: The source.
        floor_level: All but the item bias of a user without any bias.
        floor_slope: What his bias is multiplied with.
        item_slope: What the item bias is multiplied with.
        centre: (features,) of the users who train.
        scale: (features,) of the same.
        weights: (1 + features, 2) of level and slope, the constant first.
    """

    habits: Habits
    floor_level: float
    floor_slope: float
    item_slope: float
    centre: np.ndarray
    scale: np.ndarray
    weights: np.ndarray

    def read(self, table: RatingTable) -> tuple[np.ndarray, np.ndarray]:
        """Return level and slope of each user of a table of source ratings, (U,) each."""
        described = self.habits.describe(table)
        style = np.column_stack([np.ones(len(described)), (described - self.centre) / self.scale])
        level, slope = (style @ self.weights).T
        return self.floor_level + self.floor_slope * described[:, 0] + level, self.item_slope + slope


@dataclass(frozen=True, eq=False)
class FloorPlus:
    """The floor corrected by response style: `level_u + slope_u * b_i`.

    Attributes:
        floor: The floor it starts from.
        style: The map from source histories.
        level: (source users,) all but the item bias.
        slope: (source users,) what the item bias is multiplied with.
        ridge: Weight of the squared deviation from the floor that was chosen.
    """

    floor: Floor
    style: StyleMap
    level: np.ndarray
    slope: np.ndarray
    ridge: float

    def predict(self, source_users: np.ndarray, item_bias: np.ndarray) -> np.ndarray:
        """Predict ratings: (n,) source users and (n,) item biases (left out or not) to (n,)."""
        return np.asarray(self.level[source_users] + self.slope[source_users] * item_bias)


def source_habits(table: RatingTable, item_bias: ItemBias, user_shrinkage: float) -> Habits:
    """Say what the users of the source do in the mean."""
    levels = np.unique(table.ratings)
    binned = len(levels) > _MOST_LEVELS
    levels = np.linspace(levels[0], levels[-1], _BINS + 1)[1:-1] if binned else levels[:-1]
    own = item_bias.values[table.items]
    bias = shrunken_user_bias(table, item_bias, user_shrinkage)
    above = table.ratings - item_bias.mean - own - bias[table.users]
    return Habits(
        mean=item_bias.mean,
        item_bias=item_bias.values,
        user_shrinkage=user_shrinkage,
        levels=levels,
        binned=float(binned),
        shares=np.array([at_level.mean() for at_level in _at_levels(table.ratings, levels, binned)]),
        spread=float(np.mean(above**2)),
        bias_power=float(np.mean(own**2)),
    )


def fit_floor_plus(
    problem: ColdStart, generator: np.random.Generator, ridges: Sequence[float] = RIDGES, floor: Floor | None = None
) -> FloorPlus:
    """Fit what response style adds to the floor, by ridge regression on the target ratings of shared users.

    Inputs are the style, and its products with the item bias, which is left out of each training row. The ridge is
    the one with the least error over folds of users; a large one leaves the floor as it is.

    Args:
        problem: The training ratings.
        generator: Draws the folds.
        ridges: Candidates.
        floor: The floor, where it was fitted already.
    """
    floor = floor or fit_floor(problem)
    rows = problem.target.rows(problem.shared_rows)
    users = problem.source_of[rows.users]
    left_out = floor.left_out(rows)
    missed = rows.ratings - floor.user_part(users) - floor.item_slope * left_out
    habits = source_habits(problem.source, floor.source_items, floor.user_shrinkage)
    described = habits.describe(problem.source)
    known = described[np.unique(users)]
    centre, scale = known.mean(axis=0), known.std(axis=0) + 1e-9
    style = np.column_stack([np.ones(len(described)), (described - centre) / scale])
    unit = float(floor.items.values.std()) + 1e-12
    inputs = np.column_stack([style[users], style[users] * (left_out / unit)[:, None]])
    ridge, solved = _ridge_by_folds(inputs, missed, _folds(users, generator), ridges)
    weights = np.column_stack([solved[: style.shape[1]], solved[style.shape[1] :] / unit])
    start = floor.items.mean + floor.offset
    found = StyleMap(habits, start, floor.slope, floor.item_slope, centre, scale, weights)
    return FloorPlus(floor, found, *found.read(problem.source), ridge)


def _at_levels(ratings: np.ndarray, levels: np.ndarray, binned: float) -> list[np.ndarray]:
    """Mark the rows at each level of the scale but the highest; a scale of many levels is cut into a few bins."""
    if binned:
        places = np.searchsorted(levels, ratings, side="right")
        return [(places == place).astype(np.float64) for place in range(len(levels))]
    return [(ratings == level).astype(np.float64) for level in levels]


def _folds(users: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    different, places = np.unique(users, return_inverse=True)
    return generator.permutation(np.arange(len(different)) % FOLDS)[places]


def _ridge_by_folds(
    inputs: np.ndarray, wanted: np.ndarray, folds: np.ndarray, ridges: Sequence[float]
) -> tuple[float, np.ndarray]:
    """Choose the ridge over folds, from the folds' moments alone; return it and the weights on all rows."""
    parts = [(inputs[folds == fold], wanted[folds == fold]) for fold in range(FOLDS)]
    grams = np.stack([part.T @ part for part, _ in parts])
    sides = np.stack([part.T @ truth for part, truth in parts])
    penalty = np.eye(inputs.shape[1])

    def error(ridge: float) -> float:
        total = 0.0
        for fold, (part, truth) in enumerate(parts):
            weights = np.linalg.solve(grams.sum(0) - grams[fold] + ridge * penalty, sides.sum(0) - sides[fold])
            total += float(np.sum((truth - part @ weights) ** 2))
        return total

    ridge = min(ridges, key=error)
    return ridge, np.linalg.solve(grams.sum(0) + ridge * penalty, sides.sum(0))
