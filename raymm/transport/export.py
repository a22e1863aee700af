"""The few best partners of every user, with the share of his mass that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from raymm.transport.partitioned import Partition, PartitionedSolution
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import damping
from raymm.transport.sweep import Task

_ROWS = 128


@dataclass(frozen=True, eq=False)
class Partners:
    """The k heaviest partners of each source user.

    A certificate never speaks of these lists: cutting a plan off at k partners costs about -epsilon log(kept mass).

    Attributes:
        targets: (n, k) int64 target users, heaviest first; -1 where a user has fewer than k.
        weights: (n, k) float32 shares of the user's own mass, not renormalised; 0 where there is no target.
        mass: (n,) float64 the user's mass in the plan; small under relaxed marginals for whom nobody fits.
        kept: (n,) float32 sum of his weights.
        effective: (n,) float32 exp of the entropy of his full row: how many partners he is spread over.
    """

    targets: torch.Tensor
    weights: torch.Tensor
    mass: torch.Tensor
    kept: torch.Tensor
    effective: torch.Tensor


def top_partners(problem: Problem, solution: PartitionedSolution, k: int) -> Partners:
    """List the k heaviest partners of every source user among the kept blocks.

    Args:
        problem: As it was solved, in its own order.
        solution: Its solution.
        k: At least 1; capped at the number of target users.
    """
    partition = solution.partition
    ordered = problem.between(partition.rows.order, partition.columns.order)
    found = _listed(ordered, partition, solution.g[partition.columns.order], min(k, problem.cost.m))
    order, columns = partition.rows.order, partition.columns.order
    targets = torch.where(found.targets >= 0, columns[found.targets.clamp_min(0)], found.targets)
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return Partners(targets[back], found.weights[back], found.mass[back], found.kept[back], found.effective[back])


def new_partners(problem: Problem, g: torch.Tensor, k: int) -> Partners:
    """List the k heaviest partners of users who were not in the solve: the rows of `problem` are the new users.

    Args:
        problem: Cost from the new users to all target users of the solve, with the solve's b, epsilon and rho.
        g: (m,) potentials of the solve.
        k: At least 1.
    """
    return _listed(problem, None, g, min(k, problem.cost.m))


def _listed(problem: Problem, partition: Partition | None, g: torch.Tensor, k: int) -> Partners:
    cost, n = problem.cost, problem.cost.n
    bias = ((g - cost.target_offset) / problem.epsilon + problem.b.log()).to(cost.source.dtype)
    damp = damping(problem.rho, problem.epsilon)
    left, right = cost.source * (1.0 / problem.epsilon), cost.target
    targets = torch.full((n, k), -1, dtype=torch.int64, device=right.device)
    weights = torch.zeros(n, k, dtype=torch.float32, device=right.device)
    effective = torch.ones(n, dtype=torch.float32, device=right.device)
    mass = problem.a.clone()
    tasks: Sequence[Task] = [Task(0, n)] if partition is None else partition.tasks()
    every = torch.arange(len(right), device=right.device)
    for task in tasks:
        points, own, some = task.of(right), task.of(bias), task.of(every)
        count = min(k, len(points))
        for start in range(task.start, task.stop, _ROWS):
            rows = slice(start, min(start + _ROWS, task.stop))
            scores = torch.addmm(own, left[rows], points.T)
            highest = scores.amax(dim=1, keepdim=True)
            scores -= highest
            kernel = scores.exp()
            sums = kernel.sum(dim=1)
            if not problem.balanced:
                logs = sums.double().log() + highest[:, 0].double()
                f = damp * (cost.source_offset[rows] - problem.epsilon * logs)
                mass[rows] *= torch.exp(-f / problem.rho)
            best, where = torch.topk(kernel, count, dim=1)
            weights[rows, :count] = (best / sums[:, None]).float()
            targets[rows, :count] = some[where]
            effective[rows] = (sums.log() - scores.mul_(kernel).sum(dim=1) / sums).exp().float()
    return Partners(targets, weights, mass, weights.sum(dim=1), effective)
