"""Source users' vectors and target items' vectors on what floor+ leaves: the scalar bridge."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raymm.config import check, setting
from raymm.ratings.biases import RATER_SHRINKAGE, Floor, shrunken_user_bias
from raymm.ratings.factors import factorise, fold_in, regress_items
from raymm.ratings.gate import Gain, best_share
from raymm.ratings.styles import FloorPlus, Habits
from raymm.ratings.table import ColdStart, RatingTable

_USERS = 1 << 13  # whose moments are held at a time


@dataclass(frozen=True)
class FactorConfig:
    """Tables of what floor+ leaves."""

    width: int = setting(10, "columns of users' and items' vectors", ge=1)
    source_ridge: float = setting(15.0, "weight of the squared vectors of the source domain", gt=0)
    target_ridges: tuple[float, ...] = setting(
        (50.0, 100.0, 200.0, 400.0, 800.0),
        "candidates of the weight of the squared vectors of target items; the least leave-one-out error chooses",
        gt=0,
    )
    joint: bool = setting(
        False, "let the target's ratings shape the source's tables; false keeps left-out rows exactly left out"
    )
    sweeps: int = setting(15, "rounds of alternating least squares", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True, eq=False)
class ResidualTables:
    """What is known of taste in both domains, beside the base.

    Attributes:
        users: (source users, D), from source ratings alone; of unit mean square where users are shared.
        source_items: (source items, D), scaled alike.
        items: (target items, D).
        rows: Indices of the target rows of shared users.
        left_out: (rows, D) the item vector of each such row, without that row.
        missed: (rows,) what floor+ leaves of each such row, its item bias without that row.
        bridge: Scalar g of `g * <p_u, v_i>`, least squares over these rows; 0 where it would be negative; and what it
            gains there.
        target_ridge: The ridge that was chosen.
        source_ridge: That of the source users' vectors.
        unit: What users' vectors were divided by, and items' multiplied with.
    """

    users: np.ndarray
    source_items: np.ndarray
    items: np.ndarray
    rows: np.ndarray
    left_out: np.ndarray
    missed: np.ndarray
    bridge: Gain
    target_ridge: float
    source_ridge: float
    unit: float

    def read(self, table: RatingTable, habits: Habits) -> np.ndarray:
        """Return the vectors of users by a table of their source ratings, as those of `users` were made: (U, D)."""
        return read_vectors(table, habits, self.source_items, self.source_ridge, self.unit)


def read_vectors(table: RatingTable, habits: Habits, source_items: np.ndarray, ridge: float, unit: float) -> np.ndarray:
    """Return the vectors of users by a table of their source ratings, some users at a time: (U, D).

    Args:
        table: The ratings; items are those of the source.
        habits: Of the source.
        source_items: (source items, D), such as `ResidualTables` holds.
        ridge: Weight of the squared vectors.
        unit: See `ResidualTables`.
    """
    bias = habits.user_bias(table)[table.users]
    residuals = table.ratings - habits.mean - habits.item_bias[table.items] - bias
    bounds = np.append(np.arange(0, table.n_users, _USERS), table.n_users)
    cuts = np.searchsorted(table.users, bounds)
    vectors = np.empty((table.n_users, source_items.shape[1]))
    for first, last, start, stop in zip(bounds[:-1], bounds[1:], cuts[:-1], cuts[1:], strict=True):
        rows = slice(start, stop)
        part = RatingTable(table.users[rows] - first, table.items[rows], residuals[rows], last - first, table.n_items)
        vectors[first:last] = fold_in(part, part.ratings, source_items / unit, ridge) / unit
    return vectors


def fit_tables(
    problem: ColdStart, base: FloorPlus, config: FactorConfig, generator: np.random.Generator
) -> ResidualTables:
    """Factorise the source's residuals and regress the target's on the users found there.

    A user's vector comes from source ratings alone, as a cold user's does. An item's vector is a ridge regression of
    its shared raters' residuals on their vectors; each training row meets the vector, and the bias, that the item has
    without that row. With vectors that have seen the rating they predict, a bridge learns to trust them too much.

    Args:
        problem: Training ratings.
        base: Its floor+.
        config: Settings.
        generator: Start values of the source's factors.
    """
    users, source_items = _source_vectors(problem, base, config, generator)
    rows = problem.shared_rows
    shared = problem.target.rows(rows)
    who = problem.source_of[shared.users]
    unit = np.sqrt(np.mean(users[np.unique(who)] ** 2)) + 1e-12
    users, source_items = users / unit, source_items * unit
    left_out_bias = base.floor.left_out(shared)
    missed = shared.ratings - base.predict(who, left_out_bias)
    residuals = _target_residuals(problem, base.floor)[rows]
    raters = RatingTable(who, shared.items, shared.ratings, len(users), shared.n_items)
    shifts = base.floor.items.values[shared.items] - left_out_bias

    def candidate(ridge: float) -> ResidualTables:
        found = regress_items(raters, residuals, users, ridge)
        left_out = found.leave_one_out(shared.items, users[who], residuals, shifts)
        products = np.einsum("nd,nd->n", users[who], left_out)
        gain = best_share(missed, products, who, most=np.inf)
        return ResidualTables(
            users, source_items, found.vectors, rows, left_out, missed, gain, ridge, config.source_ridge, float(unit)
        )

    return max((candidate(ridge) for ridge in config.target_ridges), key=lambda one: one.bridge.mean)


def _source_vectors(
    problem: ColdStart, base: FloorPlus, config: FactorConfig, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Factorise what the source's biases leave; with `joint`, shared users' target residuals take part in it."""
    source, floor = problem.source, base.floor
    own = source_residuals(source, floor)
    table, residuals = source, own
    if config.joint:
        rows = problem.shared_rows
        shared = problem.target.rows(rows)
        table = RatingTable(
            np.concatenate([source.users, problem.source_of[shared.users]]),
            np.concatenate([source.items, source.n_items + shared.items]),
            np.concatenate([source.ratings, shared.ratings]),
            source.n_users,
            source.n_items + shared.n_items,
        )
        residuals = np.concatenate([own, _target_residuals(problem, floor)[rows]])
    _, items = factorise(table, residuals, config.width, config.source_ridge, generator, config.sweeps)
    items = items[: source.n_items]
    return fold_in(source, own, items, config.source_ridge), items


def source_residuals(source: RatingTable, floor: Floor) -> np.ndarray:
    """Return what mean, item bias and user bias leave of each source rating."""
    item_bias = floor.source_items
    return np.asarray(source.ratings - item_bias.mean - item_bias.values[source.items] - floor.user_bias[source.users])


def _target_residuals(problem: ColdStart, floor: Floor) -> np.ndarray:
    """Return what mean, item bias and the rater's own bias in the target leave of each target rating.

    A rater's own bias is noise to the items' vectors: it is not taste, and floor+ has said what the source knows of it.
    """
    table = problem.target
    own = shrunken_user_bias(table, floor.items, RATER_SHRINKAGE)
    return np.asarray(table.ratings - floor.items.mean - floor.items.values[table.items] - own[table.users])
