import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import ray
import torch

from raymm.errors import ClusterError
from raymm.launch.match import RayRows, on_ray
from raymm.transport import bilinear, support
from raymm.transport.cells import joint_cells
from raymm.transport.checkpoint import Checkpoint
from raymm.transport.fixed_point import Progress
from raymm.transport.partitioned import Partition, PartitionConfig, solve_partitioned
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sweep import LocalSweep, Task
from tests.transport.people import domains, masses

pytestmark = pytest.mark.ray
SMALL = PartitionConfig(sample=200, cells=16, target_gap=0.005)
LONGER = replace(SMALL, tolerance=1e-4)  # a relaxed problem takes three passes only to the usual tolerance


def stated(rho: float = math.inf) -> Problem:
    x, y = domains(900, 700, 250, torch.float32)
    return state_problem(bilinear.cosine(x, y), masses(900), masses(700, 1), 0.05, rho)


def partitioned() -> tuple[Problem, Partition]:
    problem = stated()
    rows, columns = joint_cells(problem.cost.source, problem.cost.target, 12, torch.Generator().manual_seed(0))
    kept = torch.rand(rows.count, columns.count, generator=torch.Generator().manual_seed(1)) < 0.5
    kept[:, 0] = True
    mass = kept.double() / kept.sum()
    return problem.between(rows.order, columns.order), Partition(rows, columns, kept, mass, 0.0)


@pytest.mark.usefixtures("ray_cluster")
def test_actors_do_what_one_process_does(capfd: pytest.CaptureFixture[str]) -> None:
    problem, partition = partitioned()
    here, there = LocalSweep(problem, partition.tasks()), RayRows(problem, partition.tasks(), 3)
    assert len(there.holders) == 3
    g = 0.1 * torch.randn(700, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    groups = partition.columns.of_position
    for tasks in (partition.tasks(), support.whole_tasks(partition.rows)):
        here.retask(tasks)
        there.retask(tasks)
        torch.testing.assert_close(there.columns(g), here.columns(g), atol=0, rtol=1e-5)
        torch.testing.assert_close(there.potentials(), here.potentials(), atol=1e-7, rtol=0)
        for one, other in zip(there.masses(g + 0.01), here.masses(g + 0.01), strict=True):
            torch.testing.assert_close(one, other, atol=0, rtol=1e-5)
        count = partition.columns.count
        torch.testing.assert_close(
            there.grouped(g, groups, count), here.grouped(g, groups, count), atol=1e-9, rtol=1e-5
        )
    assert "core_worker" not in capfd.readouterr().err  # Ray has nothing to say against how the actors are made


@pytest.mark.usefixtures("ray_cluster")
def test_killed_actors_come_back_with_their_rows_and_their_f() -> None:
    problem, partition = partitioned()
    here, there = LocalSweep(problem, partition.tasks()), RayRows(problem, partition.tasks(), 2)
    g = 0.1 * torch.randn(700, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    expected = here.columns(g)
    torch.testing.assert_close(there.columns(g), expected, atol=0, rtol=1e-5)
    ray.kill(there.holders[0], no_restart=False)
    for one, other in zip(there.masses(g + 0.01), here.masses(g + 0.01), strict=True):
        torch.testing.assert_close(one, other, atol=0, rtol=1e-5)
    ray.kill(there.holders[1], no_restart=False)
    torch.testing.assert_close(there.potentials(), here.potentials(), atol=1e-7, rtol=0)
    torch.testing.assert_close(there.columns(g), expected, atol=0, rtol=1e-5)


class _KilledError(Exception):
    pass


@pytest.mark.usefixtures("ray_cluster")
@pytest.mark.parametrize("rho", [math.inf, pytest.param(0.05, marks=pytest.mark.slow)])
def test_a_killed_driver_goes_on_with_another_number_of_workers(tmp_path: Path, rho: float) -> None:
    problem, store = stated(rho), Checkpoint(tmp_path / "state.npz", "same")
    alone = solve_partitioned(problem, LONGER, torch.Generator().manual_seed(0))
    assert alone.iterations > 3

    def kill(progress: Progress) -> None:
        if progress.stage != "sample" and progress.iteration == 3:
            raise _KilledError

    with pytest.raises(_KilledError):
        solve_partitioned(problem, LONGER, torch.Generator().manual_seed(0), on_ray(3), store, kill)
    seen: list[Progress] = []
    rest = solve_partitioned(problem, LONGER, torch.Generator().manual_seed(0), on_ray(2), store, seen.append)
    assert seen[0].iteration == 4
    assert rest.iterations == alone.iterations
    plans = [
        (found.f[:, None] + found.g - problem.cost.dense()).div(0.05).exp() * problem.a[:, None] * problem.b
        for found in (alone, rest)
    ]
    assert float((plans[0] - plans[1]).abs().sum()) < 1e-5
    assert rest.certificate.upper == pytest.approx(alone.certificate.upper, rel=1e-5)


@pytest.mark.usefixtures("ray_cluster")
def test_a_solve_outlives_the_death_of_an_actor() -> None:
    problem = stated()
    alone = solve_partitioned(problem, SMALL, torch.Generator().manual_seed(0))
    sweeps: list[RayRows] = []
    killed: list[int] = []

    def runner(problem: Problem, tasks: Sequence[Task]) -> RayRows:
        sweeps.append(RayRows(problem, tasks, 2))
        return sweeps[0]

    def kill(progress: Progress) -> None:
        if progress.stage != "sample" and progress.iteration in (2, 4) and len(killed) < 2:
            ray.kill(sweeps[0].holders[len(killed)], no_restart=False)
            killed.append(progress.iteration)

    spread = solve_partitioned(problem, SMALL, torch.Generator().manual_seed(0), runner, observe=kill)
    assert killed == [2, 4]
    assert spread.iterations == alone.iterations
    assert spread.certificate.relative_gap == pytest.approx(alone.certificate.relative_gap, rel=1e-3)
    torch.testing.assert_close(spread.g, alone.g, atol=1e-6, rtol=0)


@pytest.mark.usefixtures("ray_cluster")
def test_more_workers_than_cpus_and_soft_masks_are_refused() -> None:
    problem, partition = partitioned()
    with pytest.raises(ClusterError, match="fewer workers"):
        RayRows(problem, partition.tasks(), 500)
    masked = state_problem(bilinear.with_soft_mask(problem.cost, torch.tensor([[0, 0]]), 1.0), None, None, 0.05)
    with pytest.raises(ClusterError, match="soft mask"):
        RayRows(masked, partition.tasks(), 1)
