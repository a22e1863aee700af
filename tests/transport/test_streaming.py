import math

import numpy as np
import ot
import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear, sinkhorn
from raymm.transport.fixed_point import State
from raymm.transport.problem import state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import solve_streaming
from tests.processes import run_ranks
from tests.transport.people import domains, masses, sharded_problem, solve_on_a_rank

TIGHT = SolverConfig(tolerance=1e-10, max_iterations=3000)
PAIRS = torch.arange(20)[:, None].repeat(1, 2)


def costs(dtype: torch.dtype = torch.float64) -> dict[str, bilinear.Bilinear]:
    x, y = domains(160, 130, 40, dtype)
    one = bilinear.cosine(x, y)
    return {
        "cosine": one,
        "euclidean": bilinear.squared_euclidean(x, y),
        "profile": bilinear.profile(x, y, PAIRS),
        "hellinger": bilinear.hellinger_relation(x, y, PAIRS),
        "blend": bilinear.blend([(0.5, one), (0.5, bilinear.hellinger_relation(x, y, PAIRS))]),
        "masked": bilinear.with_soft_mask(one, PAIRS, 2.0),
    }


def plan(cost: bilinear.Bilinear, a: torch.Tensor, b: torch.Tensor, f: torch.Tensor, g: torch.Tensor) -> np.ndarray:
    return sinkhorn.plan(cost.dense(), a, b, f, g, 0.1).numpy()


@pytest.mark.parametrize("name", ["cosine", "euclidean", "profile", "hellinger", "blend", "masked"])
@pytest.mark.parametrize("rho", [math.inf, 0.1])
def test_plan_equals_pot_for_every_cost_mask_and_marginal(name: str, rho: float) -> None:
    cost, a, b = costs()[name], masses(160), masses(130, 1)
    solution = solve_streaming(state_problem(cost, a, b, 0.1, rho), TIGHT)
    arrays = a.numpy(), b.numpy(), cost.dense().numpy()
    if math.isinf(rho):
        truth = ot.sinkhorn(*arrays, 0.1, "sinkhorn", 50_000, 1e-11)
    else:
        truth = ot.unbalanced.sinkhorn_unbalanced(*arrays, 0.1, rho, reg_type="kl", numItermax=50_000, stopThr=1e-14)
    assert np.abs(plan(cost, a, b, solution.f, solution.g) - truth).sum() < 1e-6 * truth.sum()


def test_float32_blocks_stay_close_to_float64() -> None:
    cost, single, a, b = costs()["cosine"], costs(torch.float32)["cosine"], masses(160), masses(130, 1)
    exact = solve_streaming(state_problem(cost, a, b, 0.1), config=TIGHT)
    fast = solve_streaming(state_problem(single, a, b, 0.1), config=SolverConfig(tolerance=2e-6))
    difference = plan(cost, a, b, exact.f, exact.g) - plan(cost, a, b, fast.f, fast.g)
    assert np.abs(difference).sum() < 1e-4


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_any_number_of_ranks_gives_the_same_plan(ranks: int) -> None:
    by_rank = run_ranks(solve_on_a_rank, ranks, ranks)
    for number, rho in enumerate((math.inf, 0.1)):
        problem = sharded_problem(rho)
        alone = solve_streaming(problem, SolverConfig(tolerance=3e-6))
        truth = plan(problem.cost, problem.a, problem.b, alone.f, alone.g)
        results = [result[number] for result in by_rank]
        assert all(result[1:] == results[0][1:] for result in results)
        f = torch.tensor([value for own, _, _ in results for value in own], dtype=torch.float64)
        found = plan(problem.cost, problem.a, problem.b, f, torch.tensor(results[0][1], dtype=torch.float64))
        assert np.abs(found - truth).sum() < 1e-5


def test_an_earlier_solution_starts_the_next() -> None:
    cost, a, b = costs()["cosine"], masses(160), masses(130, 1)
    first = solve_streaming(state_problem(cost, a, b, 0.1))
    assert solve_streaming(state_problem(cost, a, b, 0.1), start=State(first.g)).iterations == 1 < first.iterations


def test_all_equal_points_are_coupled_independently() -> None:
    equal, a, b = torch.ones(30, 4, dtype=torch.float64), masses(30), masses(20, 1)
    cost = bilinear.cosine(equal, equal[:20])
    solution = solve_streaming(state_problem(cost, a, b, 0.1))
    np.testing.assert_allclose(plan(cost, a, b, solution.f, solution.g), np.outer(a, b), atol=1e-12)


def test_a_tolerance_below_the_rounding_of_float32_is_refused() -> None:
    problem = state_problem(costs(torch.float32)["cosine"], None, None, 0.1)
    with pytest.raises(SolverError, match="float32 blocks"):
        solve_streaming(problem, SolverConfig(tolerance=1e-9))


@pytest.mark.slow
@pytest.mark.parametrize("rho", [math.inf, 0.1])
def test_plan_of_two_thousand_users_equals_pot(rho: float) -> None:
    x, y = domains(2000, 1800, 600)
    cost, a, b = bilinear.cosine(x, y), masses(2000), masses(1800, 1)
    solution = solve_streaming(state_problem(cost, a, b, 0.05, rho), TIGHT)
    arrays = a.numpy(), b.numpy(), cost.dense().numpy()
    if math.isinf(rho):
        truth = ot.sinkhorn(*arrays, 0.05, "sinkhorn", 50_000, 1e-11)
    else:
        truth = ot.unbalanced.sinkhorn_unbalanced(*arrays, 0.05, rho, reg_type="kl", numItermax=50_000, stopThr=1e-13)
    found = sinkhorn.plan(cost.dense(), a, b, solution.f, solution.g, 0.05).numpy()
    assert np.abs(found - truth).sum() < 1e-6 * truth.sum()
