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
