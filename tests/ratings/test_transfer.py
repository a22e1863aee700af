"""Tables and the scalar bridge, on taste that is planted and on taste that is not there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.ratings.biases import fit_floor
from raymm.ratings.styles import fit_floor_plus
from raymm.ratings.transfer import FactorConfig, fit_tables, source_residuals
from tests.ratings.toys import planted

CONFIG = FactorConfig(width=2, source_ridge=2.0, target_ridges=(2.0, 10.0, 50.0))


def _tables(taste, config=CONFIG, seed=0):
    problem, _, test = planted(taste, seed=seed)
    base = fit_floor_plus(problem, np.random.default_rng(0), floor=fit_floor(problem, corrected=True))
    return problem, base, fit_tables(problem, base, config, np.random.default_rng(0)), test


@pytest.mark.parametrize("joint", [False, True])
def test_the_bridge_carries_planted_taste_to_cold_users(joint: bool) -> None:
    problem, base, tables, test = _tables(1.0, FactorConfig(2, 2.0, (2.0, 10.0), joint))
    people = problem.source_of[test.users]
    missed = test.ratings - base.predict(people, base.floor.items.values[test.items])
    part = tables.bridge.share * np.einsum("nd,nd->n", tables.users[people], tables.items[test.items])
    assert tables.bridge.opens(2.0)
    assert np.mean((missed - part) ** 2) < 0.5 * np.mean(missed**2)


def test_the_gate_stays_closed_without_taste() -> None:
    assert not any(_tables(0.0, seed=seed)[2].bridge.opens(2.0) for seed in range(3))


def test_what_a_training_row_meets_has_not_seen_it() -> None:
    problem, _, _ = planted(seed=1)
    found = []
    place = 7
    for change in (0.0, 4.0):
        ratings = problem.target.ratings.copy()
        ratings[problem.shared_rows[place]] += change
        changed = replace(problem, target=problem.target.with_ratings(ratings))
        base = fit_floor_plus(changed, np.random.default_rng(0), floor=fit_floor(changed, corrected=True))
        found.append(fit_tables(changed, base, FactorConfig(2, 2.0, (5.0,)), np.random.default_rng(0)))
    first, second = found
    item = problem.target.items[first.rows[place]]
    seen = np.linalg.norm(first.items[item] - second.items[item])
    unseen = np.linalg.norm(first.left_out[place] - second.left_out[place])
    assert unseen < 0.1 * seen  # what is left comes by way of the mean and of others' biases


def test_residuals_are_what_the_biases_leave() -> None:
    problem = planted()[0]
    floor = fit_floor(problem)
    found = source_residuals(problem.source, floor)
    row = 11
    user, item = problem.source.users[row], problem.source.items[row]
    said = floor.source_items.mean + floor.source_items.values[item] + floor.user_bias[user]
    assert found[row] == pytest.approx(problem.source.ratings[row] - said)
