"""The base of rating models as inner products: one row a target user, one a target item."""

from __future__ import annotations

import numpy as np
import torch

from raymm.ratings.biases import RATER_SHRINKAGE, Floor, shrunken_user_bias
from raymm.ratings.styles import FloorPlus
from raymm.ratings.table import ColdStart
from raymm.scorers import DotScorer


def floor_rows(problem: ColdStart, floor: Floor) -> tuple[np.ndarray, np.ndarray]:
    """Write the floor as inner products: (target users, 2) and (target items, 2)."""
    level = floor.user_part(problem.source_of)
    return _rows(problem, floor, level, np.full(len(level), floor.item_slope))


def plus_rows(problem: ColdStart, base: FloorPlus) -> tuple[np.ndarray, np.ndarray]:
    """Write floor+ as inner products: (target users, 2) and (target items, 2)."""
    return _rows(problem, base.floor, base.level[problem.source_of], base.slope[problem.source_of])


def dot_scorer(users: np.ndarray, items: np.ndarray) -> DotScorer:
    """Turn rows of users and items into a scorer."""
    return DotScorer(*(torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)) for rows in (users, items)))


def transferred_rows(problem: ColdStart, source_rows: np.ndarray) -> np.ndarray:
    """Give each target user the row of the source user who is the same person, zeros where there is nobody."""
    known = problem.source_of >= 0
    return np.asarray(np.where(known[:, None], source_rows[problem.source_of], 0.0))


def _rows(problem: ColdStart, floor: Floor, level: np.ndarray, slope: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Users whom the source does not know have the mean and what they gave in the target beyond the items' biases."""
    known = problem.source_of >= 0
    own = floor.items.mean + shrunken_user_bias(problem.target, floor.items, RATER_SHRINKAGE)
    users = np.column_stack([np.where(known, level, own), np.where(known, slope, 1.0)])
    return users, np.column_stack([np.ones(problem.target.n_items), floor.items.values])
