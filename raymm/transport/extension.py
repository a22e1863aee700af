"""Potentials of points that were not in the solve, from those that were: the soft c-transform."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raymm.transport.bilinear import Bilinear
from raymm.transport.problem import Problem
from raymm.transport.sweep import LocalSweep, Task


def extend(cost: Bilinear, g: torch.Tensor, b: torch.Tensor, epsilon: float, rho: float) -> torch.Tensor:
    """Return f of new source points: f = -damp epsilon log sum_j b_j exp((g_j - C[i, j]) / epsilon).

    This is the rule for users who arrive after a solve, and what carries a solve of a sample to everybody.

    Args:
        cost: Between the new points (n) and points that were solved for (m).
        g: (m,) float64 their potentials.
        b: (m,) float64 their masses, of total 1.
        epsilon: As in the solve.
        rho: As in the solve, infinite for balanced.

    Returns:
        (n,) float64.
    """
    equal = torch.full((cost.n,), 1.0 / cost.n, dtype=torch.float64, device=b.device)
    sweep = LocalSweep(Problem(cost, equal, b, epsilon, rho))
    sweep.columns(g)
    return sweep.potentials()


def extend_by_cells(
    problem: Problem, g: torch.Tensor, tasks: Sequence[Task], groups: torch.Tensor, n_groups: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Extend to all rows and, in the same pass, add up the mass that each task sends to each group of columns.

    Args:
        problem: All rows against the sampled columns (masses of total 1).
        g: (k,) potentials of the sampled columns.
        tasks: The row cells.
        groups: (k,) int64, the cell of each sampled column.
        n_groups: Number of column cells.

    Returns:
        f (n,) float64, and the masses (tasks, n_groups) float64.
    """
    sweep = LocalSweep(problem, tasks)
    mass = sweep.grouped(g, groups, n_groups)
    return sweep.potentials(), mass
