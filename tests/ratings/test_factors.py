"""Closed-form factors against dense solutions, row by row."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.ratings.factors import factorise, fold_in, regress_items
from tests.ratings.toys import random_table

D = 3


def test_fold_in_is_a_ridge_regression_of_each_user() -> None:
    table = random_table()
    generator = np.random.default_rng(0)
    items, residuals = generator.normal(size=(20, D)), generator.normal(size=len(table.users))
    found = fold_in(table, residuals, items, 2.0)
    for user in range(30):
        own = table.users == user
        inputs = items[table.items[own]]
        expected = np.linalg.solve(inputs.T @ inputs + 2 * np.eye(D), inputs.T @ residuals[own])
        assert found[user] == pytest.approx(expected, abs=1e-10)


def test_leaving_a_row_out_is_a_regression_without_it_with_the_other_residuals_moved() -> None:
    table = random_table()
    generator = np.random.default_rng(0)
    users, residuals = generator.normal(size=(30, D)), generator.normal(size=len(table.users))
    shifts = 0.1 * generator.normal(size=len(residuals))
    fitted = regress_items(table, residuals, users, 2.0)
    found = fitted.leave_one_out(table.items, users[table.users], residuals, shifts)
    assert len(residuals) > 100
    for row in range(0, len(residuals), 11):
        others = (table.items == table.items[row]) & (np.arange(len(residuals)) != row)
        inputs = users[table.users[others]]
        side = inputs.T @ (residuals[others] + shifts[row])
        assert found[row] == pytest.approx(np.linalg.solve(inputs.T @ inputs + 2 * np.eye(D), side), abs=1e-10)


def test_factors_find_a_planted_product_and_collapse_under_a_large_ridge() -> None:
    table = random_table(60, 40, 0.6)
    generator = np.random.default_rng(3)
    people, items = generator.normal(size=(60, 2)), generator.normal(size=(40, 2))
    wanted = np.einsum("nd,nd->n", people[table.users], items[table.items])
    left, right = factorise(table, wanted, 2, 0.01, generator, sweeps=40)
    assert np.einsum("nd,nd->n", left[table.users], right[table.items]) == pytest.approx(wanted, abs=0.1)
    left, right = factorise(table, wanted, 2, 1e4, generator)
    assert np.abs(left).max() < 1e-6
