"""Biases against refits without the row, and against the biases that made the ratings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.ratings.biases import ItemBias, fit_floor, fit_item_bias, shrunken_user_bias
from tests.ratings.toys import planted, random_table


def test_leaving_a_row_out_is_a_refit_without_it() -> None:
    table = random_table()
    bias = fit_item_bias(table, (5.0,))
    left_out = bias.leave_one_out(table.items, table.ratings)
    for row in range(0, len(table.users), 17):
        rest = table.rows(np.arange(len(table.users)) != row)
        refit = ItemBias(bias.mean, 5.0, rest.item_sums(rest.ratings - bias.mean), rest.item_counts)
        assert left_out[row] == pytest.approx(refit.values[table.items[row]], abs=1e-12)


def test_the_shrinkage_is_the_one_that_leaves_the_least() -> None:
    noise = random_table(n_users=12, share=0.3)  # stars by chance: no item is better than another
    assert fit_item_bias(noise).shrinkage == 50
    steady = noise.with_ratings(1.0 + noise.items % 5)
    assert fit_item_bias(steady).shrinkage == 1


def test_user_bias_by_hand() -> None:
    table = random_table()
    bias = fit_item_bias(table, (5.0,))
    found = shrunken_user_bias(table, bias, 3.0)
    own = table.users == 4
    expected = np.sum(table.ratings[own] - table.mean - bias.values[table.items[own]]) / (own.sum() + 3)
    assert found[4] == pytest.approx(expected)


def test_the_floor_finds_the_biases_that_made_the_ratings() -> None:
    problem, _, test = planted(taste=0.0)
    people = problem.source_of[test.users]
    errors = {}
    for corrected in (False, True):
        floor = fit_floor(problem, corrected)
        assert floor.slope == pytest.approx(1.0, abs=0.15)
        errors[corrected] = np.sqrt(np.mean((test.ratings - floor.predict(people, test.items)) ** 2))
    bias_only = np.std(test.ratings - fit_item_bias(problem.target).values[test.items])
    assert errors[True] <= errors[False] < 0.75 * bias_only
    assert errors[True] < 0.36  # the noise is 0.3


def test_nobody_knows_unknown_users() -> None:
    floor = fit_floor(planted()[0])
    assert floor.user_part(np.array([-1])) == pytest.approx(floor.items.mean)
    assert floor.rater_bias.any() == dataclasses.replace(floor, slope=2.0).rater_bias.any() == False  # noqa: E712
