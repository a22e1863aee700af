"""Ratings without taste: global mean, item bias, floor, floor+, and one scalar bridge on what floor+ leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from raymm.config import check, setting
from raymm.contracts import Scorer
from raymm.models.spec import RatingSpec
from raymm.ratings.base import dot_scorer, floor_rows, plus_rows, transferred_rows
from raymm.ratings.biases import fit_floor, fit_item_bias
from raymm.ratings.stage import Stage
from raymm.ratings.styles import fit_floor_plus
from raymm.ratings.table import ColdStart
from raymm.ratings.transfer import FactorConfig, fit_tables


@dataclass(frozen=True)
class FloorConfig:
    """Settings of the floor."""

    style: bool = setting(True, "correct it by how users rate in the source: floor+; false is the plain floor")
    corrected: bool = setting(
        False, "take raters' own biases off items' biases, draw rare items to the usual, fit a slope: MIMNet's base"
    )

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True)
class BridgeConfig:
    """Settings of the scalar bridge."""

    factors: FactorConfig = setting(FactorConfig, "tables of what floor+ leaves")
    gate: float = setting(2.0, "standard errors by which the bridge must help shared users, or it is left out", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def yardsticks(problem: ColdStart, seed: int) -> Mapping[str, Scorer]:
    """Fit what stands beside every model of ratings: `mean`, `item_bias`, `floor` and `floor_plus`.

    Args:
        problem: Training ratings.
        seed: Seed of the folds by which floor+ is regularised.
    """
    target = problem.target
    items = fit_item_bias(target)
    one = np.ones((target.n_users, 1))
    floor = fit_floor(problem)
    plus = fit_floor_plus(problem, np.random.default_rng(seed), floor=floor)
    return {
        "mean": dot_scorer(one, np.full((target.n_items, 1), target.mean)),
        "item_bias": dot_scorer(one, (items.mean + items.values)[:, None]),
        "floor": dot_scorer(*floor_rows(problem, floor)),
        "floor_plus": dot_scorer(*plus_rows(problem, plus)),
    }


class Solved:
    """A model of ratings without stages: what is solved in closed form; see `ratings.stage.Staged`.

    Args:
        solve: Returns the finished model.
    """

    def __init__(self, solve: Callable[[], Scorer]) -> None:
        self._solve = solve

    def stages(self) -> Iterator[Stage]:
        """Yield nothing."""
        return iter(())

    @property
    def keeps_epochs(self) -> bool:
        """Say no: there are none."""
        return False

    def facts(self) -> Mapping[str, float]:
        """Return nothing."""
        return {}

    def scorer(self) -> Scorer:
        """Solve, and return the model."""
        return self._solve()


def floor(config: FloorConfig, problem: ColdStart, seed: int) -> Scorer:
    """Predict mean, item bias and what the source says of how a user rates; nothing of taste."""
    start = fit_floor(problem, config.corrected)
    if not config.style:
        return dot_scorer(*floor_rows(problem, start))
    return dot_scorer(*plus_rows(problem, fit_floor_plus(problem, np.random.default_rng(seed), floor=start)))


def scalar_bridge(config: BridgeConfig, problem: ColdStart, seed: int) -> Scorer:
    """Predict floor+ and `g <p, v>`: one number carries what is known of taste from one domain into the other.

    Its base is the corrected one of `ratings.biases.fit_floor`. Any network between the domains
    has this to beat.
    """
    generator = np.random.default_rng(seed)
    base = fit_floor_plus(problem, generator, floor=fit_floor(problem, corrected=True))
    tables = fit_tables(problem, base, config.factors, generator)
    users, items = plus_rows(problem, base)
    if not tables.bridge.opens(config.gate):
        return dot_scorer(users, items)
    carried = tables.bridge.share * transferred_rows(problem, tables.users)
    return dot_scorer(np.column_stack([users, carried]), np.column_stack([items, tables.items]))


FLOOR = RatingSpec(
    name="rating_floor",
    summary="baseline for ratings: mean, item bias, and how a user rates in the source; nothing of taste",
    config=FloorConfig,
    presets={"default": FloorConfig(), "plain": FloorConfig(style=False)},
    make=lambda config, problem, _, seed: Solved(lambda: floor(config, problem, seed)),
)

SCALAR_BRIDGE = RatingSpec(
    name="scalar_bridge",
    summary="baseline for ratings: taste carried from the source by one number, on what the floor leaves",
    config=BridgeConfig,
    presets={"default": BridgeConfig()},
    make=lambda config, problem, _, seed: Solved(lambda: scalar_bridge(config, problem, seed)),
)
