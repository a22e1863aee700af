import dataclasses
import math

import numpy as np
import ot
import pytest
import torch

from raymm.transport import bilinear, certificate, sinkhorn
from raymm.transport.cells import Cells, joint_cells
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.support import keep_by_mass, tasks_of
from raymm.transport.sweep import LocalSweep
from tests.transport.people import domains, masses

EPSILON = 0.1


def ordered(rho: float) -> tuple[Problem, tuple[Cells, Cells]]:
    x, y = domains(240, 180, 60)
    cells = joint_cells(x, y, 10, torch.Generator().manual_seed(0))
    problem = state_problem(bilinear.cosine(x, y), masses(240), masses(180, 1), EPSILON, rho)
    return problem.between(cells[0].order, cells[1].order), cells


def value(plan: np.ndarray, problem: Problem) -> float:
    """The objective, written out."""
    a, b = problem.a.numpy(), problem.b.numpy()
    divergence = lambda p, q: float((p * np.log(np.maximum(p, 1e-300) / q) - p + q).sum())  # noqa: E731
    total = float((problem.cost.dense().numpy() * plan).sum()) + problem.epsilon * divergence(plan, np.outer(a, b))
    if not problem.balanced:
        total += problem.rho * (divergence(plan.sum(1), a) + divergence(plan.sum(0), b))
    return total


def optimum(problem: Problem) -> float:
    a, b, cost = problem.a.numpy(), problem.b.numpy(), problem.cost.dense().numpy()
    if problem.balanced:
        return value(ot.sinkhorn(a, b, cost, EPSILON, "sinkhorn", 50_000, 1e-10), problem)
    rho = problem.rho
    plan = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, EPSILON, rho, reg_type="kl", numItermax=50_000, stopThr=1e-10)
    return value(plan, problem)


def bounds(problem: Problem, cells: tuple[Cells, Cells], passes: int, missed: float) -> certificate.Certificate:
    mass = torch.zeros(cells[0].count, cells[1].count, dtype=torch.float64)
    end = sinkhorn.solve(problem.cost.dense(), problem.a, problem.b, EPSILON, (problem.rho, problem.rho))
    plan = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, end.f, end.g, EPSILON)
    for row in range(cells[0].count):
        of_row = plan[cells[0].of_position == row].sum(0)
        mass[row].index_add_(0, cells[1].of_position, of_row)
    kept = keep_by_mass(mass, missed)
    sweep = LocalSweep(problem, tasks_of(kept, *cells))
    g = torch.zeros_like(problem.b)
    damp = sinkhorn.damping(problem.rho, EPSILON)
    columns = sweep.columns(g)
    for _ in range(passes):
        g = damp * (g - EPSILON * (columns / problem.b).log())
        columns = sweep.columns(g)
    local = sweep.potentials()
    upper = certificate.upper_bound(problem, sweep, g, columns, cells)
    whole = LocalSweep(problem)
    whole.columns(g)
    lower = certificate.lower_bound(problem, whole.potentials(), g, local)
    return certificate.certify(problem, upper, lower, float(kept.double().mean()))


@pytest.mark.parametrize("rho", [math.inf, 0.1, 1.0])
def test_bounds_hold_for_any_number_of_iterations_and_any_support(rho: float) -> None:
    problem, cells = ordered(rho)
    best = optimum(problem)
    gaps = []
    for missed in (0.2, 0.0):
        for passes in (0, 2, 6, 40):
            found = bounds(problem, cells, passes, missed)
            assert found.lower <= best + 1e-9
            assert found.upper >= best - 1e-9
            gaps.append(found.relative_gap)
    assert gaps[4] > gaps[5] > gaps[6] >= gaps[7]
    assert gaps[3] > 10 * gaps[7]  # what the support misses remains however long one iterates
    assert gaps[7] < 0.2 * gaps[5]


def test_gap_is_about_epsilon_times_the_missed_mass() -> None:
    problem, cells = ordered(math.inf)
    found = bounds(problem, cells, 60, 0.1)
    assert 0.01 < found.missed_mass < 0.15
    assert 0.5 < (found.upper - found.lower) / (EPSILON * found.missed_mass) < 3.0


def test_bounds_on_the_distance_to_the_optimal_plan_hold() -> None:
    problem, cells = ordered(math.inf)
    found = bounds(problem, cells, 5, 0.0)
    a, b, cost = problem.a.numpy(), problem.b.numpy(), problem.cost.dense().numpy()
    best = ot.sinkhorn(a, b, cost, EPSILON, "sinkhorn", 50_000, 1e-10)
    sweep = LocalSweep(problem)
    g = torch.zeros_like(problem.b)
    for _ in range(6):
        columns = sweep.columns(g)
        g, old = g - EPSILON * (columns / problem.b).log(), g
    plan = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, sweep.potentials(), old, EPSILON).numpy()
    assert found.l1_bound is not None
    assert np.abs(plan - best).sum() < found.l1_bound + found.column_error


def test_leftover_coupling_is_feasible_and_its_value_is_the_written_out_one() -> None:
    problem, cells = ordered(math.inf)
    generator = torch.Generator().manual_seed(5)
    p, q = (torch.rand(size, generator=generator, dtype=torch.float64) ** 4 for size in (240, 180))
    p[cells[0].of_position == 1] = 0.0  # a cell without any leftover
    p, q = p / p.sum(), q / q.sum()
    found = certificate.leftover_value(problem, p, q, cells)
    independent = value(np.outer(p, q), problem)
    best = sinkhorn.solve(problem.cost.dense(), p, q, EPSILON)
    dense = value(sinkhorn.plan(problem.cost.dense(), p, q, best.f, best.g, EPSILON).numpy(), problem)
    assert dense - 1e-9 <= found < independent


def test_all_equal_points_have_no_gap() -> None:
    equal = torch.ones(30, 4, dtype=torch.float64)
    cells = joint_cells(equal, equal, 3, torch.Generator().manual_seed(0))
    problem = state_problem(bilinear.cosine(equal, equal), None, None, EPSILON)
    sweep = LocalSweep(problem)
    g = torch.zeros(30, dtype=torch.float64)
    columns = sweep.columns(g)
    upper = certificate.upper_bound(problem, sweep, g, columns, cells)
    lower = certificate.lower_bound(problem, sweep.potentials(), g, sweep.potentials())
    found = certificate.certify(problem, upper, lower, 1.0)
    assert found.shift_invariant_gap == 0.0
    assert found.upper == pytest.approx(found.lower, abs=1e-7)


@pytest.mark.parametrize("rho", [math.inf, 0.1])
def test_sampled_bound_is_below_and_near_the_deterministic_one(rho: float) -> None:
    problem, cells = ordered(rho)
    kept = torch.rand(cells[0].count, cells[1].count, generator=torch.Generator().manual_seed(2)) < 0.9
    kept |= torch.eye(cells[0].count, cells[1].count, dtype=torch.bool)
    sweep = LocalSweep(problem, tasks_of(kept, *cells))
    g = torch.zeros_like(problem.b)
    sweep.columns(g)
    local = sweep.potentials()
    whole = LocalSweep(problem)
    whole.columns(g)
    exact = certificate.lower_bound(problem, whole.potentials(), g, local)
    below, distances = 0, []
    for seed in range(40):
        chosen = torch.randperm(240, generator=torch.Generator().manual_seed(seed))[:80]
        found = certificate.sampled_lower_bound(problem, whole.potentials()[chosen], chosen, g, local)
        assert not found.deterministic
        below += found.value <= exact.value
        distances.append(abs(found.value - exact.value))
    assert below >= 39
    assert max(distances) < 0.05 * abs(exact.value)
    everybody = certificate.sampled_lower_bound(problem, whole.potentials(), torch.arange(240), g, local)
    assert everybody.value == pytest.approx(exact.value, abs=1e-12)
    assert everybody.missed_mass == pytest.approx(exact.missed_mass, abs=1e-12)


def test_a_constant_in_the_cost_changes_the_relative_gap_only() -> None:
    problem, cells = ordered(math.inf)
    raised = dataclasses.replace(
        problem, cost=dataclasses.replace(problem.cost, source_offset=problem.cost.source_offset + 3.0)
    )
    low, high = bounds(problem, cells, 3, 0.1), bounds(raised, cells, 3, 0.1)
    assert high.shift_invariant_gap == pytest.approx(low.shift_invariant_gap, rel=1e-3)
    assert high.relative_gap < 0.5 * low.relative_gap
    assert SolverConfig().tolerance < high.relative_gap
