"""Checks of the fused kernels against the written-out iteration; `python -m` runs them in Triton's interpreter."""

import math
import os
import sys

import torch

from raymm.transport import bilinear
from raymm.transport.fixed_point import State, iterate
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.sweep import LocalSweep, Task
from tests.transport.people import domains, masses

EPSILON = 0.05
RUNS = ((30, 31), (40, 90), (169, 170))
# Short sides are cut into parts, long ones are not; 140 coordinates are taken in three steps.
SHAPES = ((300, 170, 16), (1, 400, 5), (900, 3, 64), (130, 260, 140))


def check(device: str) -> int:
    """Compare all that a sweep does, for each shape, marginal and task; return how many comparisons were made."""
    done = 0
    for n, m, width in SHAPES:
        for rho in (math.inf, 0.1):
            for partial in (False, True) if m == 170 else (False,):
                done += _check_passes(*_problem(n, m, width, rho, device), partial)
    _check_solution(device)
    return done + 1


def _problem(n: int, m: int, width: int, rho: float, device: str) -> tuple[Problem, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    x, y = (torch.randn(size, width, generator=generator) for size in (n, m))
    g = 0.1 * torch.randn(m, dtype=torch.float64, generator=generator)
    cost = bilinear.cosine(x.to(device), y.to(device))
    return state_problem(cost, masses(n).to(device), masses(m, 1).to(device), EPSILON, rho), g.to(device)


def _check_passes(problem: Problem, g: torch.Tensor, partial: bool) -> int:
    kept = torch.ones(problem.cost.n, problem.cost.m, dtype=torch.bool, device=g.device)
    tasks = None
    if partial:
        tasks = [Task(0, 140, ((0, 90),)), Task(140, 141, RUNS), Task(141, 300)]
        kept[:140, 90:] = False
        kept[140] = False
        for start, stop in RUNS:
            kept[140, start:stop] = True
    sweep, done = LocalSweep(problem, tasks, fused=True), 0
    # 800 epsilon: exp overflows or vanishes unless a maximum is taken off. Relaxed, the plan's mass does so itself.
    for shift in (0.0, 0.05, 40.0, -40.0) if math.isinf(problem.rho) else (0.0, 0.05):
        tolerance = 2e-3 if abs(shift) > 1 else 5e-5  # 800 has a rounding of 1e-4 in float32
        moved = g + shift
        plan, f = _written_out(problem, moved, kept)
        torch.testing.assert_close(sweep.columns(moved), plan.sum(0), atol=0, rtol=tolerance)
        torch.testing.assert_close(sweep.potentials(), f, atol=tolerance * EPSILON, rtol=0)
        rows, columns = sweep.masses(moved)
        torch.testing.assert_close(rows, plan.sum(1), atol=0, rtol=tolerance)
        torch.testing.assert_close(columns, plan.sum(0), atol=0, rtol=tolerance)
        done += 4
    groups = torch.arange(problem.cost.m, device=g.device) % 3
    found = LocalSweep(problem, tasks, fused=True).grouped(g, groups, 3)
    plan, _ = _written_out(problem, g, kept)
    expected = torch.stack([plan[:, groups == group].sum() for group in range(3)])
    torch.testing.assert_close(found.sum(0), expected, atol=1e-9, rtol=5e-5)
    return done + 1


def _written_out(problem: Problem, g: torch.Tensor, kept: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    scores = torch.where(kept, (g - problem.cost.dense()) / EPSILON + problem.b.log(), -math.inf)
    damp = 1.0 if math.isinf(problem.rho) else problem.rho / (problem.rho + EPSILON)
    f = -damp * EPSILON * torch.logsumexp(scores, dim=1)
    return problem.a[:, None] * torch.exp(f[:, None] / EPSILON + scores), f


def _check_solution(device: str) -> None:
    x, y = (side.to(device) for side in domains(200, 150, 60, torch.float32))
    problem = state_problem(bilinear.cosine(x, y), masses(200).to(device), masses(150, 1).to(device), EPSILON)
    start = State(torch.zeros_like(problem.b))
    sweeps = [LocalSweep(problem, fused=fused) for fused in (False, True)]
    plain, fused = (iterate(sweep, problem, SolverConfig(tolerance=1e-5), start) for sweep in sweeps)
    assert plain.converged
    assert fused.converged
    torch.testing.assert_close(fused.g - fused.g.mean(), plain.g - plain.g.mean(), atol=1e-5, rtol=0)


if __name__ == "__main__":
    if os.environ.get("TRITON_INTERPRET") != "1":
        sys.exit("set TRITON_INTERPRET=1 before the start: without a GPU there is only the interpreter")
    sys.stdout.write(f"{check('cpu')} comparisons\n")
