"""Bases as inner products say what the bases say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from raymm.ratings.base import dot_scorer, floor_rows, plus_rows, transferred_rows
from raymm.ratings.biases import fit_floor
from raymm.ratings.styles import fit_floor_plus
from tests.ratings.toys import planted


def test_inner_products_are_the_predictions_and_unknown_users_have_their_own_bias() -> None:
    problem, _, test = planted()
    stranger = int(problem.target.users[0])
    source_of = problem.source_of.copy()
    source_of[stranger] = -1
    problem = dataclasses.replace(problem, source_of=source_of)
    floor = fit_floor(problem)
    plus = fit_floor_plus(problem, np.random.default_rng(0), floor=floor)
    users, items = torch.from_numpy(test.users.copy()), torch.from_numpy(test.items.copy())
    people = problem.source_of[test.users]
    assert (people >= 0).all()
    expected = floor.predict(people, test.items), plus.predict(people, floor.items.values[test.items])
    for rows, wanted in zip((floor_rows(problem, floor), plus_rows(problem, plus)), expected, strict=True):
        scorer = dot_scorer(*rows)
        assert scorer.pairs(users, items).numpy() == pytest.approx(wanted, abs=1e-5)
        own = problem.target.ratings[problem.target.users == stranger]
        assert abs(scorer.scores(torch.tensor([stranger])).mean() - own.mean()) < 0.5


def test_rows_go_to_the_same_person() -> None:
    problem = planted()[0]
    rows = np.arange(problem.source.n_users, dtype=float)[:, None]
    assert transferred_rows(problem, rows)[:, 0].tolist() == problem.source_of.tolist()
