"""MIMNet in stages, on ratings whose makers are known."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raymm.models.mimnet.config import COMPAT, DEFAULT
from raymm.models.mimnet.model import Mimnet
from raymm.ratings.base import dot_scorer, floor_rows
from raymm.ratings.biases import fit_floor
from raymm.ratings.pretraining import PretrainConfig
from raymm.ratings.transfer import FactorConfig
from raymm.verbs.stages import run_stages
from tests.ratings.toys import planted, rmse

SMALL = replace(DEFAULT, factors=FactorConfig(2, 2.0, (2.0, 10.0)), meta=replace(DEFAULT.meta, epochs=3))
PUBLISHED = replace(
    COMPAT,
    pretrain=PretrainConfig(width=4, epochs=6, batch_size=128, learning_rate=0.03),
    meta=replace(COMPAT.meta, epochs=2),
)


def _trained(settings, seed=0, taste=1.0):
    problem, held, test = planted(taste)
    model = Mimnet(settings, problem, held, seed)
    return model, run_stages(model, seed), problem, test


def test_the_default_finds_planted_taste_far_below_the_floor() -> None:
    model, records, problem, test = _trained(SMALL)
    floor = rmse(dot_scorer(*floor_rows(problem, fit_floor(problem))), test)
    assert rmse(model.scorer(), test) < 0.7 * floor
    assert model.facts()["bridge"] > 0
    assert {record["stage"] for record in records} == {"meta"}


def test_what_items_are_about_helps_where_ratings_are_few() -> None:
    problem, held, test = planted()
    source, target = (side.rows(np.arange(len(side.users)) % 10 == 0) for side in (problem.source, problem.target))
    problem, found = replace(problem, source=source, target=target), {}
    for width in (0, 8):
        model = Mimnet(replace(SMALL, content=replace(SMALL.content, width=width)), problem, held, 0)
        run_stages(model, 0)
        found[width] = rmse(model.scorer(), test)
        assert (model.facts()["content"] > 0) == (width > 0)
    assert found[8] < 0.85 * found[0]


def test_without_taste_both_gates_close_and_the_base_is_left() -> None:
    model, records, problem, test = _trained(SMALL, taste=0.0)
    assert records == []
    assert model.network is None
    floor = rmse(dot_scorer(*floor_rows(problem, fit_floor(problem))), test)
    assert rmse(model.scorer(), test) < 1.01 * floor


def test_the_published_form_trains_three_stages() -> None:
    model, records, _, test = _trained(PUBLISHED)
    assert [record["stage"] for record in records] == ["target"] * 6 + ["source"] * 6 + ["meta"] * 2
    losses = [record["losses"]["target.loss"] for record in records if record["stage"] == "target"]
    assert losses[-1] < 0.5 * losses[0]
    assert rmse(model.scorer(), test) < 3


@pytest.mark.parametrize("settings", [SMALL, PUBLISHED], ids=["default", "compat"])
def test_the_same_seed_gives_the_same_model_and_another_seed_another(settings) -> None:
    scorers = [_trained(settings, seed)[0].scorer() for seed in (1, 1, 2)]
    first, again, other = (scorer.scores(torch.arange(240)) for scorer in scorers)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_ratings_of_validation_users_do_not_move_the_tables() -> None:
    problem, held, _ = planted()
    found = []
    for ratings in (held.ratings, np.flip(held.ratings).copy()):
        model = Mimnet(SMALL, problem, replace(held, ratings=ratings), 0)
        tables = {stage.name: dict(stage.tables()) for stage in model.stages() if stage.model is None}
        found.append(tables)
    for stage in ("source", "target"):
        for name, value in found[0][stage].items():
            assert torch.equal(value, found[1][stage][name])
