import math

import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear
from raymm.transport.problem import state_problem
from raymm.transport.sweep import LocalSweep, Task
from tests.transport.people import domains, masses

EPSILON = 0.05


def setup(dtype: torch.dtype = torch.float64) -> tuple[bilinear.Bilinear, torch.Tensor, torch.Tensor, torch.Tensor]:
    x, y = domains(300, 170, 60, dtype)
    g = 0.1 * torch.randn(170, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    return bilinear.cosine(x, y), masses(300), masses(170, 1), g


def written_out(
    cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, g: torch.Tensor, rho: float, kept: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.where(kept, (g - cost) / EPSILON + b.log(), torch.full_like(cost, -math.inf))
    damp = 1.0 if math.isinf(rho) else rho / (rho + EPSILON)
    f = -damp * EPSILON * torch.logsumexp(scores, dim=1)
    return f, a[:, None] * torch.exp(f[:, None] / EPSILON + scores)


@pytest.mark.parametrize("rho", [math.inf, 0.1])
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 3e-5)])
def test_a_pass_is_the_written_out_iteration(rho: float, partial: bool, dtype: torch.dtype, tolerance: float) -> None:
    cost, a, b, g = setup(dtype)
    kept = torch.ones(300, 170, dtype=torch.bool)
    tasks = None
    if partial:
        runs = ((30, 31), (40, 90), (169, 170))
        tasks = [Task(0, 140, ((0, 90),)), Task(140, 141, runs), Task(141, 300)]
        kept[:140, 90:] = False
        kept[140] = False
        for start, stop in runs:
            kept[140, start:stop] = True
    sweep = LocalSweep(state_problem(cost, a, b, EPSILON, rho), tasks)
    for _ in range(2):  # the first pass has a row maximum, the second the old f
        sums = sweep.columns(g)
        f, plan = written_out(cost.dense(), a, b, g, rho, kept)
        torch.testing.assert_close(sweep.potentials(), f, atol=tolerance * EPSILON, rtol=0)
        torch.testing.assert_close(sums, plan.sum(0), atol=0, rtol=tolerance)
        g = g + 0.05
    rows, sums = sweep.masses(g - 0.05)
    torch.testing.assert_close(rows, plan.sum(1), atol=0, rtol=tolerance)
    torch.testing.assert_close(sums, plan.sum(0), atol=0, rtol=tolerance)


def test_masses_by_task_and_group_add_up_the_plan() -> None:
    cost, a, b, g = setup()
    groups = torch.arange(170) % 3
    sweep = LocalSweep(state_problem(cost, a, b, EPSILON), tasks=[Task(0, 100), Task(100, 300)])
    found = sweep.grouped(g, groups, 3)
    _, plan = written_out(cost.dense(), a, b, g, math.inf, torch.ones(300, 170, dtype=torch.bool))
    for task, rows in enumerate((slice(0, 100), slice(100, 300))):
        for group in range(3):
            assert float(found[task, group]) == pytest.approx(float(plan[rows, groups == group].sum()))


def test_an_old_f_that_is_far_off_is_noticed() -> None:
    cost, a, b, g = setup(torch.float32)
    sweep = LocalSweep(state_problem(cost, a, b, EPSILON))
    expected = sweep.columns(g)
    for shift in (40.0, -40.0, 0.0):  # 800 epsilon: exp overflows or vanishes in float32
        sums = sweep.columns(g + shift)
        assert torch.isfinite(sums).all()
        torch.testing.assert_close(sums, expected, atol=0, rtol=2e-3)  # 800 has a rounding of 1e-4 in float32
    torch.testing.assert_close(sweep.columns(g), expected, atol=0, rtol=3e-5)


def test_soft_mask_works_on_all_columns_only() -> None:
    cost, a, b, g = setup()
    masked = bilinear.with_soft_mask(cost, torch.tensor([[3, 5], [150, 0], [299, 169]]), 2.0)
    sums = LocalSweep(state_problem(masked, a, b, EPSILON)).columns(g)
    _, plan = written_out(masked.dense(), a, b, g, math.inf, torch.ones(300, 170, dtype=torch.bool))
    torch.testing.assert_close(sums, plan.sum(0), atol=0, rtol=1e-10)
    problem = state_problem(masked, a, b, EPSILON)
    with pytest.raises(SolverError, match="hard mask"):
        LocalSweep(problem, tasks=[Task(0, 300, ((0, 4),))])
