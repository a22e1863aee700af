"""Exact entropic transport in O((n + m) d) memory, in one process or with rows sharded over a process group."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.distributed as dist

from raymm.errors import SolverError
from raymm.transport.extension import extend
from raymm.transport.fixed_point import Observer, State, iterate
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import Solution, SolverConfig
from raymm.transport.sweep import LocalSweep, RowSweep, Task

_FLOAT32_FLOOR = 1e-6  # column errors below this are rounding of float32 blocks
_ANY = 1e9  # a start may be poor: it decides nothing but the number of passes


class ShardedSweep:
    """`RowSweep` whose rows are shared out over the ranks of a process group: only column sums travel.

    Every rank holds all columns and its own rows. Results named (n,) are of the own rows.
    """

    def __init__(self, own: LocalSweep, group: dist.ProcessGroup) -> None:
        self._own, self._group = own, group

    def columns(self, g: torch.Tensor) -> torch.Tensor:
        """Renew the own f; return the column sums over all ranks."""
        return self._sum(self._own.columns(g))

    def masses(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the own row sums, and the column sums over all ranks."""
        rows, columns = self._own.masses(g)
        return rows, self._sum(columns)

    def potentials(self) -> torch.Tensor:
        """Return f of the own rows."""
        return self._own.potentials()

    def grouped(self, g: torch.Tensor, groups: torch.Tensor, n_groups: int) -> torch.Tensor:
        """Return the masses by own task and by group of columns."""
        return self._own.grouped(g, groups, n_groups)

    def retask(self, tasks: Sequence[Task]) -> None:
        """Let the own rows see other columns from now on."""
        self._own.retask(tasks)

    def _sum(self, columns: torch.Tensor) -> torch.Tensor:
        dist.all_reduce(columns, group=self._group)
        return columns


def sampled_start(problem: Problem, size: int, generator: torch.Generator) -> State:
    """Return potentials that save a few passes over all pairs for a small part of one: those of a solved sample.

    Args:
        problem: All of it, in this process.
        size: Users of each side in the sample; a tenth of them takes about a fifth of a pass.
        generator: Draws the sample.
    """
    drawn = []
    for mass in (problem.a, problem.b):
        order = torch.randperm(len(mass), generator=generator, device=generator.device)
        drawn.append(order[:size].sort().values.to(mass.device))
    found = solve_streaming(problem.between(drawn[0], drawn[1]), SolverConfig(tolerance=3e-3, accept=_ANY))
    every = torch.arange(len(problem.b), device=problem.b.device)
    turned = problem.between(drawn[0], every).transposed()
    return State(extend(turned.cost, found.f, turned.b, problem.epsilon, problem.rho))


def solve_streaming(
    problem: Problem,
    config: SolverConfig | None = None,
    start: State | None = None,
    group: dist.ProcessGroup | None = None,
    observe: Observer | None = None,
) -> Solution:
    """Solve the entropic problem without ever storing n x m numbers.

    One iteration is one pass over the pairs: about 2 ns per pair and thread at d = 64. Blocks are float32 or float64
    as the cost is; potentials and sums are float64.

    Source: Cuturi, "Sinkhorn distances", NeurIPS 2013, in the dual form of Peyré and Cuturi, "Computational optimal
    transport", 2019, section 4.4; the one-pass iteration is ours.

    Args:
        problem: With a `group`, the rows of this rank (`Problem.rows`) and all columns.
        config: When to stop; the tolerance must be 1e-6 or more for float32.
        start: A first g, as of `sampled_start`, or the state of an interrupted run.
        group: Ranks that share the rows; every rank gets the same g and its own f.
        observe: Called after each iteration.

    Raises:
        SolverError: A tolerance that the type cannot reach, or no convergence to `config.accept`.
    """
    config = config or SolverConfig(tolerance=_FLOAT32_FLOOR)
    if config.tolerance < _FLOAT32_FLOOR and problem.cost.source.dtype == torch.float32:
        raise SolverError(
            f"tolerance {config.tolerance:g} with float32 blocks",
            f"at least {_FLOAT32_FLOOR:g}",
            "exact transport",
            "give float64 embeddings, or a larger tolerance",
        )
    rows: RowSweep = LocalSweep(problem) if group is None else ShardedSweep(LocalSweep(problem), group)
    state = start or State(torch.zeros_like(problem.b))
    end = iterate(rows, problem, config, state, ("exact", observe) if observe else None)
    return Solution(rows.potentials(), end.g, end.error, end.iterations, end.converged)
