"""Biases against refits without the row, and against the biases that made the ratings."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from raymm.ratings.biases import ItemBias, fit_floor, fit_item_bias, shrunken_user_bias
from raymm.ratings.table import RatingTable
from tests.ratings.toys import planted, random_table


@pytest.mark.parametrize("by_popularity", [False, True])
def test_leaving_a_row_out_is_a_refit_without_it(by_popularity: bool) -> None:
    table = random_table()
    bias = fit_item_bias(table, (5.0,), by_popularity)
    assert (bias.slope != 0) == by_popularity
    left_out = bias.leave_one_out(table.items, table.ratings)
    for row in range(0, len(table.users), 17):
        rest = table.rows(np.arange(len(table.users)) != row)
        refit = ItemBias(bias.mean, 5.0, rest.item_sums(rest.ratings - bias.mean), rest.item_counts)
        refit = dataclasses.replace(refit, intercept=bias.intercept, slope=bias.slope)
        assert left_out[row] == pytest.approx(refit.values[table.items[row]], abs=1e-12)


def test_the_shrinkage_is_the_one_that_leaves_the_least() -> None:
    noise = random_table(n_users=12, share=0.3)  # stars by chance: no item is better than another
    assert fit_item_bias(noise).shrinkage == 50
    steady = noise.with_ratings(1.0 + noise.items % 5)
    assert fit_item_bias(steady).shrinkage == 1


def test_rare_items_are_drawn_to_what_is_usual_for_so_few() -> None:
    draws = np.random.default_rng(0)
    n_items, n_users = 300, 400
    popular = draws.pareto(1.0, n_items) + 0.2
    truth = 0.4 * (np.log(popular) - np.log(popular).mean()) + 0.1 * draws.normal(size=n_items)
    users, items = np.nonzero(draws.random((n_users, n_items)) < np.minimum(0.5, popular / 100))
    table = RatingTable(users, items, 3.0 + truth[items] + draws.normal(size=len(users)), n_users, n_items)
    plain, better = fit_item_bias(table), fit_item_bias(table, by_popularity=True)
    rated, rare = table.item_counts > 0, table.item_counts < 3
    assert rare.sum() > 50
    assert (~rated).sum() > 5
    missed = {bias: np.sqrt(np.mean((bias.mean + bias.values - 3.0 - truth)[rare] ** 2)) for bias in (plain, better)}
    assert missed[better] < 0.6 * missed[plain]
    weights = np.sqrt(table.item_counts / (table.item_counts + better.shrinkage))[rated]
    means = (table.item_sums(table.ratings - table.mean) / np.maximum(table.item_counts, 1))[rated]
    slope, intercept = np.polyfit(np.log1p(table.item_counts[rated]), means, 1, w=weights)
    assert (better.slope, better.intercept) == pytest.approx((slope, intercept))
    assert better.values[~rated] == pytest.approx(intercept)


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
