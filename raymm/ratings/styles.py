"""How users rate, apart from what they rate; and the floor with it, floor+."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from raymm.ratings.biases import Floor, fit_floor
from raymm.ratings.table import ColdStart, RatingTable

RIDGES = (10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 1e5, 1e7)
"""Weights of the squared deviation from the floor; the largest is the floor itself in all but name."""
FOLDS = 5

_MOST_LEVELS, _BINS = 10, 5
_SMOOTHING = 5.0  # ratings of the average user that each user is mixed with
_CONSENSUS_SMOOTHING = 10.0


@dataclass(frozen=True, eq=False)
class FloorPlus:
    """The floor corrected by response style: `level_u + slope_u * b_i`.

    Attributes:
        floor: The floor it starts from.
        level: (source users,) all but the item bias.
        slope: (source users,) what the item bias is multiplied with.
        ridge: Weight of the squared deviation from the floor that was chosen.
    """

    floor: Floor
    level: np.ndarray
    slope: np.ndarray
    ridge: float

    def predict(self, source_users: np.ndarray, item_bias: np.ndarray) -> np.ndarray:
        """Predict ratings: (n,) source users and (n,) item biases (left out or not) to (n,)."""
        return np.asarray(self.level[source_users] + self.slope[source_users] * item_bias)


def response_style(table: RatingTable, floor: Floor) -> np.ndarray:
    """Describe how each source user rates: (source users, features) float64.

    User bias; smoothed share of each level of the scale but the highest; standard deviation about the biases; log of
    the number of ratings; and how strongly the user follows the items' biases (a regression slope drawn towards 1).
    """
    item_bias, user_bias = floor.source_items.values[table.items], floor.user_bias
    above = table.ratings - floor.source_items.mean - item_bias - user_bias[table.users]
    counts = table.user_counts
    shares = [
        (table.user_sums(at_level) + _SMOOTHING * at_level.mean()) / (counts + _SMOOTHING)
        for at_level in _levels(table.ratings)
    ]
    spread = np.sqrt((table.user_sums(above**2) + _SMOOTHING * np.mean(above**2)) / (counts + _SMOOTHING))
    prior = _CONSENSUS_SMOOTHING * np.mean(item_bias**2) + 1e-12
    follows = (table.user_sums((above + item_bias) * item_bias) + prior) / (table.user_sums(item_bias**2) + prior)
    return np.column_stack([user_bias, *shares, spread, np.log1p(counts), follows])


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
    style = _standardised(response_style(problem.source, floor), np.unique(users))
    unit = float(floor.items.values.std()) + 1e-12
    inputs = np.column_stack([style[users], style[users] * (left_out / unit)[:, None]])
    ridge, weights = _ridge_by_folds(inputs, missed, _folds(users, generator), ridges)
    width = style.shape[1]
    level = floor.user_part(np.arange(len(style))) + style @ weights[:width]
    return FloorPlus(floor, level, floor.item_slope + style @ weights[width:] / unit, ridge)


def _levels(ratings: np.ndarray) -> list[np.ndarray]:
    """Mark the rows at each level of the scale but the highest; a scale of many levels is cut into a few bins."""
    levels = np.unique(ratings)
    if len(levels) > _MOST_LEVELS:
        edges = np.linspace(levels[0], levels[-1], _BINS + 1)[1:-1]
        places = np.searchsorted(edges, ratings, side="right")
        return [(places == place).astype(np.float64) for place in range(_BINS - 1)]
    return [(ratings == level).astype(np.float64) for level in levels[:-1]]


def _standardised(style: np.ndarray, users: np.ndarray) -> np.ndarray:
    """Centre and scale by the users who train, and put a column of ones in front."""
    known = style[users]
    return np.column_stack([np.ones(len(style)), (style - known.mean(axis=0)) / (known.std(axis=0) + 1e-9)])


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
