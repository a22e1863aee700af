import math

import pytest
import torch

from raymm.transport import bilinear, sinkhorn
from raymm.transport.extension import extend, extend_by_cells
from raymm.transport.problem import state_problem
from raymm.transport.sweep import Task
from tests.transport.people import domains, masses


@pytest.mark.parametrize("rho", [math.inf, 0.1])
def test_extending_to_points_of_the_solve_gives_their_own_potentials(rho: float) -> None:
    x, y = domains(80, 60, 30)
    cost, a, b = bilinear.cosine(x, y), masses(80), masses(60, 1)
    solved = sinkhorn.solve(cost.dense(), a, b, 0.1, (rho, rho))
    torch.testing.assert_close(extend(cost, solved.g, b, 0.1, rho), solved.f, atol=1e-10, rtol=0)


def test_a_sample_says_how_much_mass_each_block_holds() -> None:
    x, y = domains(400, 400, 100)
    problem = state_problem(bilinear.cosine(x, y), None, None, 0.1)
    groups = torch.arange(400) % 4
    solved = sinkhorn.solve(problem.cost.dense(), problem.a, problem.b, 0.1)
    tasks = [Task(0, 150), Task(150, 400)]
    f, mass = extend_by_cells(problem, solved.g, tasks, groups, 4)
    plan = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, solved.f, solved.g, 0.1)
    for row, rows in enumerate((slice(0, 150), slice(150, 400))):
        for group in range(4):
            assert float(mass[row, group]) == pytest.approx(float(plan[rows, groups == group].sum()), rel=1e-6)
    torch.testing.assert_close(f, solved.f, atol=1e-9, rtol=0)


def test_the_soft_minimum_lies_within_epsilon_log_mass_of_the_minimum_and_tends_to_it() -> None:
    x, y = domains(40, 30, 10)
    cost, b = bilinear.cosine(x, y), masses(30, 1)
    g = 0.1 * torch.randn(30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    hard = (cost.dense().double() - g).amin(dim=1)
    gaps = []
    for epsilon in (0.5, 0.05, 0.005):
        above = extend(cost, g, b, epsilon, math.inf) - hard  # with masses of total 1, it is above the minimum
        assert (above >= -1e-6).all()
        assert (above <= epsilon * -math.log(float(b.min())) + 1e-6).all()
        # Without masses, as the paper's eq. 21 may have it, it is below.
        free = -epsilon * torch.logsumexp((g - cost.dense().double()) / epsilon, dim=1)
        assert (free <= hard).all()
        gaps.append(float(above.max()))
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 0.03
