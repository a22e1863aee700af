import dataclasses
import math

import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear, sinkhorn
from raymm.transport.population import PopulationConfig
from raymm.transport.quality import QualityConfig, baselines, choose_on_hidden, hide_pairs, quality_of, ranks
from tests.transport.people import domains

CONFIG = PopulationConfig()


def known(count: int) -> torch.Tensor:
    return torch.arange(count)[:, None].repeat(1, 2)


def test_hidden_pairs_are_neither_shown_nor_lost() -> None:
    trial = hide_pairs(known(40), 200, 150, QualityConfig(most_users=100), torch.Generator().manual_seed(0))
    assert trial.n_hidden == 20
    assert len(trial.shown) == 20
    assert torch.equal(trial.rows[:20], trial.columns[:20])
    for users in (trial.rows, trial.columns):
        assert len(users) == 100
        assert len(users.unique()) == 100
        assert not torch.isin(users, trial.shown[:, 0]).any()
        assert (users[20:] >= 40).all()


def test_ranks_agree_with_sorting_the_dense_plan() -> None:
    x, y = domains(80, 60, 30)
    cost = bilinear.cosine(x, y)
    a, b = torch.full((80,), 1 / 80, dtype=torch.float64), torch.full((60,), 1 / 60, dtype=torch.float64)
    end = sinkhorn.solve(cost.dense(), a, b, 0.05)
    plan = sinkhorn.plan(cost.dense(), a, b, end.f, end.g, 0.05)
    found = ranks(cost, end.g + 0.05 * b.log(), 30)
    for row in range(30):
        order = plan[row].argsort(descending=True).tolist()
        assert found[row] == order.index(row) + 1
    tied = ranks(bilinear.cosine(torch.ones(3, 2), torch.ones(5, 2)), torch.zeros(5, dtype=torch.float64), 3)
    assert tied.tolist() == [3.0, 3.0, 3.0]


def test_figures_are_means_over_users() -> None:
    found = quality_of("x", torch.tensor([1.0, 2.0, 20.0, 1.0], dtype=torch.float64), 50)
    assert (found.hit_at_1, found.hit_at_10, found.users, found.candidates) == (0.5, 0.75, 4, 50)
    assert found.mrr == pytest.approx((1 + 0.5 + 0.05 + 1) / 4)


def test_chance_is_what_chance_gives() -> None:
    x, y = domains(300, 200, 60)
    trial = hide_pairs(known(60), 300, 200, QualityConfig(), torch.Generator().manual_seed(0))
    row = baselines(x, y, trial, CONFIG)[0]
    drawn = torch.randint(1, row.candidates + 1, (200_000,), generator=torch.Generator().manual_seed(1)).double()
    simulated = quality_of("", drawn, row.candidates)
    assert row.hit_at_10 == pytest.approx(simulated.hit_at_10, rel=0.05)
    assert row.mrr == pytest.approx(simulated.mrr, rel=0.05)


def test_the_best_settings_are_chosen_and_beat_their_baselines_where_few_users_are_shared() -> None:
    x, y = domains(500, 500, 200, torch.float32, turned=True, noise=0.05)
    grid = QualityConfig(relaxations=(0.02, 0.1), epsilons=(0.02,), omegas=(0.0,), max_iterations=60)
    best, rows = choose_on_hidden(x, y, known(150), CONFIG, grid, torch.Generator().manual_seed(0))
    by_name = {row.method: row for row in rows}
    assert len(by_name) == len(rows) == 5 + 2 * 3
    assert by_name["nearest by cosine"].hit_at_1 < 0.05  # the spaces are turned
    plans = [row for row in rows if "rho" in row.method or "balanced" in row.method]
    top = max(plans, key=lambda row: row.mrr)
    assert best.relation in top.method
    assert ("balanced" in top.method) == math.isinf(best.rho)
    assert top.mrr > 0.9 * by_name[f"nearest by {best.relation}"].mrr
    assert top.mrr > 20 * by_name["random"].mrr
    relaxed = max(row.mrr for row in plans if "rho" in row.method and "profile" in row.method)
    balanced = max(row.mrr for row in plans if "balanced" in row.method and "profile" in row.method)
    assert relaxed > balanced


def test_bad_input_is_refused() -> None:
    x, y = domains(60, 50, 40)
    generator = torch.Generator().manual_seed(0)
    with pytest.raises(SolverError, match="at least 8"):
        choose_on_hidden(x, y, known(5), CONFIG, QualityConfig(), generator)
    with pytest.raises(SolverError, match="relation 'js'"):
        choose_on_hidden(x, y, known(30), CONFIG, QualityConfig(relations=("js",)), generator)
    with pytest.raises(SolverError, match="known pairs"):
        choose_on_hidden(x, y, torch.tensor([[0, 0]] * 9), CONFIG, QualityConfig(), generator)
    unequal = baselines(x[:, :9], y, hide_pairs(known(30), 60, 50, QualityConfig(), generator), CONFIG)
    assert "nearest by cosine" not in {row.method for row in unequal}
    assert dataclasses.replace(CONFIG, marginals="balanced").rho == math.inf
