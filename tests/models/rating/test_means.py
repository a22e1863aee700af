"""Yardsticks and the scalar bridge: each knows what the one before it knows, and more."""

from __future__ import annotations

from raymm.models.rating.means import BridgeConfig, scalar_bridge, yardsticks
from raymm.ratings.transfer import FactorConfig
from tests.ratings.toys import planted, rmse

CONFIG = BridgeConfig(FactorConfig(2, 2.0, (2.0, 10.0)))


def test_each_yardstick_is_harder_to_beat_than_the_last() -> None:
    problem, _, test = planted()
    errors = {name: rmse(scorer, test) for name, scorer in yardsticks(problem, 0).items()}
    assert list(errors) == ["mean", "item_bias", "floor", "floor_plus"]
    assert errors["mean"] > errors["item_bias"] > errors["floor"]
    assert errors["floor_plus"] < 1.02 * errors["floor"]
    assert rmse(scalar_bridge(CONFIG, problem, 0), test) < 0.7 * errors["floor"]


def test_without_taste_the_bridge_is_left_out() -> None:
    problem = planted(taste=0.0)[0]
    assert scalar_bridge(CONFIG, problem, 0).users.shape[1] == 2
