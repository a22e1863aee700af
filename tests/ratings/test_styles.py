"""Response style: found where it is planted, silent where it is not."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.ratings.base import dot_scorer, floor_rows, plus_rows
from raymm.ratings.biases import fit_floor
from raymm.ratings.styles import fit_floor_plus, source_habits
from raymm.ratings.table import ColdStart
from tests.ratings.toys import planted, rmse


def test_features_by_hand() -> None:
    problem = planted()[0]
    source = problem.source.with_ratings(np.clip(np.round(problem.source.ratings), 1, 5))
    problem = ColdStart(source, problem.target, problem.source_of)
    floor = fit_floor(problem)
    style = source_habits(source, floor.source_items, floor.user_shrinkage).describe(source)
    assert style.shape == (source.n_users, 1 + 4 + 3)
    own = source.ratings[source.users == 7]
    share = (np.sum(own == 2) + 5 * np.mean(source.ratings == 2)) / (len(own) + 5)
    assert style[7, 2] == pytest.approx(share)
    assert style[7, 0] == pytest.approx(floor.user_bias[7])
    assert style[7, -2] == pytest.approx(np.log1p(len(own)))


def test_a_scale_of_many_levels_is_binned() -> None:
    problem = planted()[0]
    floor = fit_floor(problem)
    style = source_habits(problem.source, floor.source_items, floor.user_shrinkage).describe(problem.source)
    assert style.shape[1] == 1 + 4 + 3


def test_a_planted_style_is_found_and_no_style_is_left_alone() -> None:
    problem, held, test = planted(taste=0.0)
    plain = fit_floor(problem)
    assert rmse(dot_scorer(*plus_rows(problem, fit_floor_plus(problem, np.random.default_rng(0)))), test) < 1.02 * rmse(
        dot_scorer(*floor_rows(problem, plain)), test
    )
    # A quarter of the users rate the other way round: item bias counts against them.
    sign = np.where(np.arange(problem.source.n_users) % 4, 1.0, -1.0)

    def turned(table, who):
        return table.with_ratings(3 + sign[who] * (table.ratings - 3))

    odd = ColdStart(
        turned(problem.source, problem.source.users),
        turned(problem.target, problem.source_of[problem.target.users]),
        problem.source_of,
    )
    floor = fit_floor(odd)
    plus = fit_floor_plus(odd, np.random.default_rng(0), floor=floor)
    truth = 3 + sign[problem.source_of[test.users]] * (test.ratings - 3)
    people = problem.source_of[test.users]
    before = np.mean((truth - floor.predict(people, test.items)) ** 2)
    after = np.mean((truth - plus.predict(people, floor.items.values[test.items])) ** 2)
    assert after < 0.97 * before
