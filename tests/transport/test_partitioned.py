import dataclasses
import math
from pathlib import Path

import numpy as np
import ot
import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear, sinkhorn
from raymm.transport.checkpoint import Checkpoint
from raymm.transport.fixed_point import Progress
from raymm.transport.partitioned import PartitionConfig, PartitionedSolution, solve_partitioned
from raymm.transport.problem import Problem, state_problem
from tests.transport.people import domains, masses

SMALL = PartitionConfig(sample=200, cells=16, target_gap=0.02)


def stated(rho: float = math.inf, dtype: torch.dtype = torch.float32, epsilon: float = 0.05) -> Problem:
    x, y = domains(900, 700, 250, dtype)
    return state_problem(bilinear.cosine(x, y), masses(900), masses(700, 1), epsilon, rho)


def solved(problem: Problem, config: PartitionConfig = SMALL, **more: object) -> PartitionedSolution:
    return solve_partitioned(problem, config, torch.Generator().manual_seed(0), **more)  # type: ignore[arg-type]


def kept_plan(problem: Problem, found: PartitionedSolution) -> np.ndarray:
    plan = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, found.f, found.g, problem.epsilon)
    cells = []
    for side in (found.partition.rows, found.partition.columns):
        cell = torch.empty_like(side.order)
        cell[side.order] = side.of_position
        cells.append(cell)
    return (plan * found.partition.kept[cells[0]][:, cells[1]]).numpy()


@pytest.mark.parametrize("config", [SMALL, dataclasses.replace(SMALL, sample=1000)], ids=["cut down", "whole"])
def test_the_potentials_of_a_like_problem_save_iterations_and_change_nothing_else(config: PartitionConfig) -> None:
    config = dataclasses.replace(config, tolerance=1e-3)
    x, y = domains(900, 700, 250, torch.float32)
    moved = x + 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(0))
    before, now = (state_problem(bilinear.cosine(side, y), None, None, 0.05, 0.05) for side in (x, moved))
    stages: dict[bool, list[str]] = {False: [], True: []}
    ends = {
        warm: solved(now, config, start=start, observe=lambda progress, seen=stages[warm]: seen.append(progress.stage))
        for warm, start in ((False, None), (True, solved(before, config).g))
    }
    counts = {warm: len([stage for stage in seen if stage != "sample"]) for warm, seen in stages.items()}
    assert 0 < counts[True] < counts[False]
    assert float((ends[True].g - ends[False].g).abs().mean()) < 1e-3
    assert ends[True].certificate.upper == pytest.approx(ends[False].certificate.upper, rel=1e-3)
    with pytest.raises(SolverError, match="a start of shape"):
        solved(now, config, start=torch.zeros(3))
    with pytest.raises(SolverError, match="finite"):
        solved(now, config, start=torch.full((700,), torch.nan))


@pytest.mark.parametrize("rho", [math.inf, 0.05])
def test_gap_brackets_the_optimum_of_pot_and_part_of_the_pairs_suffices(rho: float) -> None:
    problem = stated(rho)
    found = solved(problem)
    a, b, cost = problem.a.numpy(), problem.b.numpy(), problem.cost.dense().numpy()
    if problem.balanced:
        truth = ot.sinkhorn(a, b, cost, 0.05, "sinkhorn", 20_000, 1e-9)
    else:
        truth = ot.unbalanced.sinkhorn_unbalanced(a, b, cost, 0.05, rho, reg_type="kl", numItermax=9000, stopThr=1e-9)
    kl = lambda p, q: float((p * np.log(np.maximum(p, 1e-300) / q) - p + q).sum())  # noqa: E731
    best = float((cost * truth).sum()) + 0.05 * kl(truth, np.outer(a, b))
    if not problem.balanced:
        best += rho * (kl(truth.sum(1), a) + kl(truth.sum(0), b))
    report = found.certificate
    assert report.lower <= best <= report.upper
    assert report.deterministic
    assert found.reached
    assert report.relative_gap <= 0.02
    assert 0.05 < report.kept_pairs < 0.5
    plan = kept_plan(problem, found)
    assert np.abs(plan - truth).sum() < 0.15 * truth.sum()
    np.testing.assert_allclose(plan.sum(), report.mass, rtol=1e-3)


def test_a_small_target_is_reached_by_more_work() -> None:
    problem = stated()
    loose = solved(problem)
    seen: list[Progress] = []
    tight = solved(problem, dataclasses.replace(SMALL, target_gap=5e-4), observe=seen.append)
    assert tight.reached
    assert tight.certificate.relative_gap <= 5e-4 < loose.certificate.relative_gap
    assert tight.certificate.kept_pairs > loose.certificate.kept_pairs
    assert {step.stage for step in seen} >= {"sample", "blocks"}


def test_an_unreachable_target_is_said_not_hidden() -> None:
    found = solved(stated(), dataclasses.replace(SMALL, target_gap=1e-9, max_rounds=1))
    assert not found.reached
    assert found.certificate.relative_gap > 1e-9


def test_problems_no_larger_than_the_sample_are_solved_whole() -> None:
    problem = stated(dtype=torch.float64)
    whole = solved(problem, PartitionConfig(cells=16, target_gap=1e-4))
    assert whole.certificate.kept_pairs == 1.0
    assert whole.certificate.missed_mass == 0.0
    exact = sinkhorn.solve(problem.cost.dense(), problem.a, problem.b, problem.epsilon)
    truth = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, exact.f, exact.g, problem.epsilon).numpy()
    bound = whole.certificate.l1_bound
    assert bound is not None
    assert np.abs(kept_plan(problem, whole) - truth).sum() < bound


@pytest.mark.parametrize("rho", [math.inf, 0.05])
@pytest.mark.parametrize("sample", [60, 500], ids=["cut down", "whole"])
def test_one_cell_gives_the_global_plan(rho: float, sample: int) -> None:
    x, y = domains(160, 120, 40)
    problem = state_problem(bilinear.cosine(x, y), masses(160), masses(120, 1), 0.05, rho)
    config = PartitionConfig(sample=sample, cells=1, tolerance=1e-9, target_gap=1e-6, max_iterations=2000)
    found = solved(problem, config)
    assert (found.partition.rows.count, found.partition.columns.count) == (1, 1)
    assert found.certificate.kept_pairs == 1.0
    relaxed = (problem.rho, problem.rho)
    solver = sinkhorn.SolverConfig(tolerance=1e-9, max_iterations=2000)
    exact = sinkhorn.solve(problem.cost.dense(), problem.a, problem.b, problem.epsilon, relaxed, solver)
    truth = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, exact.f, exact.g, problem.epsilon)
    np.testing.assert_allclose(kept_plan(problem, found), truth.numpy(), rtol=1e-6, atol=1e-12)


def test_sampled_bound_is_labelled_and_near_the_deterministic_one() -> None:
    problem = stated()
    sure = solved(problem)
    sampled = solved(problem, dataclasses.replace(SMALL, bound="sampled", bound_rows=300))
    assert not sampled.certificate.deterministic
    assert 0.985 * sure.certificate.lower < sampled.certificate.lower < 1.002 * sure.certificate.lower
    assert sampled.certificate.missed_mass == pytest.approx(sure.certificate.missed_mass, abs=0.02)


class _KilledError(Exception):
    pass


def test_a_killed_solve_goes_on_where_it_was(tmp_path: Path) -> None:
    problem, path = stated(), tmp_path / "state.npz"
    config = dataclasses.replace(SMALL, target_gap=2e-3)
    whole_steps: list[Progress] = []
    whole = solved(problem, config, observe=whole_steps.append)

    def kill(progress: Progress) -> None:
        if progress.stage == "blocks" and progress.iteration == 4:
            raise _KilledError

    with pytest.raises(_KilledError):
        solved(problem, config, checkpoint=Checkpoint(path, "same"), observe=kill)
    assert path.is_file()
    steps: list[Progress] = []
    rest = solved(problem, config, checkpoint=Checkpoint(path, "same"), observe=steps.append)
    assert steps[0].iteration == 5
    assert "sample" not in {step.stage for step in steps}
    assert len(steps) < len(whole_steps)
    assert rest.iterations == whole.iterations
    assert rest.certificate.upper == pytest.approx(whole.certificate.upper, rel=1e-5)
    np.testing.assert_allclose(kept_plan(problem, rest), kept_plan(problem, whole), atol=1e-5 / 900)
    assert not path.exists()  # done: nothing to take up


def test_a_resumed_solve_draws_the_same_rows_for_its_bound(tmp_path: Path) -> None:
    problem = stated()
    config = dataclasses.replace(SMALL, bound="sampled", bound_rows=100)
    whole = solved(problem, config)

    def kill(progress: Progress) -> None:
        if progress.stage == "blocks" and progress.iteration == 3:
            raise _KilledError

    store = Checkpoint(tmp_path / "state.npz", "same")
    with pytest.raises(_KilledError):
        solved(problem, config, checkpoint=store, observe=kill)
    other = torch.Generator().manual_seed(5)  # nothing hangs on the generator of the second start
    rest = solve_partitioned(problem, config, other, checkpoint=store)
    assert rest.certificate.lower == pytest.approx(whole.certificate.lower, abs=1e-6)
    assert not rest.certificate.deterministic


def test_outliers_and_equal_points_do_no_harm() -> None:
    x, y = domains(400, 300, 100, torch.float32)
    y[:3] = -x[:3] * 50.0
    x[10:60] = x[10]
    found = solved(state_problem(bilinear.cosine(x, y), None, None, 0.05))
    assert found.reached
    assert torch.isfinite(found.f).all()
    assert torch.isfinite(found.g).all()
    equal = torch.ones(400, 5)
    flat = solved(state_problem(bilinear.cosine(equal, equal[:300]), None, None, 0.05))
    assert flat.certificate.shift_invariant_gap == 0.0
    assert flat.certificate.kl_bound < 1e-3


def test_a_soft_mask_is_refused_when_blocks_are_dropped() -> None:
    problem = stated()
    masked = bilinear.with_soft_mask(problem.cost, torch.tensor([[0, 0], [1, 1]]), 1.0)
    with pytest.raises(SolverError, match="hard mask"):
        solved(dataclasses.replace(problem, cost=masked))
