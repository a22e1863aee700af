"""Which blocks of the kernel to keep: the fewest that hold nearly all mass, and enough to be feasible."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raymm.transport.cells import Cells
from raymm.transport.sweep import Task

_COARSE_ROUNDS = 300
_COARSE_ERROR = 1e-3  # L1 error of the coarse problem that passes for feasible


def keep_by_mass(mass: torch.Tensor, missed: float) -> torch.Tensor:
    """Keep, per row cell, the fewest column cells that hold 1 - missed of its mass, the same per column cell: union.

    The best block of every cell is kept in any case, so no row and no column is left without partners.

    Args:
        mass: (P, Q) at least 0, an estimate of the plan's mass by block.
        missed: Share that may be lost, in [0, 1); 0 keeps every block of positive mass.

    Returns:
        (P, Q) bool.
    """
    return _budget(mass, missed) | _budget(mass.T, missed).T


def feasible(kept: torch.Tensor, mass: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor) -> bool:
    """Say whether masses can be moved through the kept blocks, by a coarse Sinkhorn on cells that has to converge.

    Args:
        kept: (P, Q) bool.
        mass: (P, Q) an estimate of the plan; kept blocks of mass 0 count as nearly 0.
        rows: (P,) mass of each row cell.
        columns: (Q,) mass of each column cell, of the same total.
    """
    kernel = torch.where(kept, mass.clamp_min(1e-12 * float(mass.sum())), torch.zeros_like(mass))
    v = torch.ones_like(columns)
    for _ in range(_COARSE_ROUNDS):
        u = rows / (kernel @ v).clamp_min(1e-300)
        sums = kernel.T @ u
        if float((sums * v - columns).abs().sum()) < _COARSE_ERROR:
            return True
        v = columns / sums.clamp_min(1e-300)
    return False


def choose(
    mass: torch.Tensor, missed: float, rows: torch.Tensor, columns: torch.Tensor, balanced: bool
) -> tuple[torch.Tensor, float]:
    """Return the kept blocks and the budget used: `missed`, halved until a balanced problem is feasible.

    Args:
        mass: (P, Q) an estimate of the plan's mass by block.
        missed: Share of the mass that may be lost.
        rows: (P,) mass of each row cell.
        columns: (Q,) mass of each column cell.
        balanced: Relaxed marginals are always feasible.
    """
    while True:
        kept = keep_by_mass(mass, missed)
        if not balanced or bool(kept.all()) or feasible(kept, mass, rows, columns):
            return kept, missed
        if missed < 1e-6:
            return torch.ones_like(kept), 0.0
        missed /= 2.0


def share_of_pairs(kept: torch.Tensor, rows: Cells, columns: Cells) -> float:
    """Return the share of all n m pairs that lie in kept blocks."""
    sizes = rows.edges.diff().double(), columns.edges.diff().double()
    return float(sizes[0] @ kept.double() @ sizes[1] / (sizes[0].sum() * sizes[1].sum()))


def tasks_of(kept: torch.Tensor, rows: Cells, columns: Cells) -> list[Task]:
    """Turn kept blocks into one task per row cell; rows and columns are positions in the order of the cells."""
    edges, borders = rows.edges.tolist(), columns.edges.tolist()
    tasks = []
    for cell, chosen in enumerate(kept.tolist()):
        runs: list[tuple[int, int]] = []
        for number, wanted in enumerate(chosen):
            if wanted and runs and runs[-1][1] == borders[number]:
                runs[-1] = (runs[-1][0], borders[number + 1])
            elif wanted:
                runs.append((borders[number], borders[number + 1]))
        tasks.append(Task(edges[cell], edges[cell + 1], tuple(runs)))
    return tasks


def whole_tasks(rows: Cells) -> list[Task]:
    """Return one task per row cell that sees all columns."""
    edges = rows.edges.tolist()
    return [Task(start, stop) for start, stop in zip(edges, edges[1:], strict=False)]


def shared_out(tasks: Sequence[Task], m: int, workers: int) -> list[range]:
    """Cut the tasks into consecutive runs of about equal numbers of pairs, at most one a worker, for m columns."""
    pairs = [(task.stop - task.start) * task.width(m) for task in tasks]
    total, done, first = sum(pairs), 0, 0
    runs: list[range] = []
    for number, size in enumerate(pairs):
        done += size
        if done * workers >= total * (len(runs) + 1) or number == len(pairs) - 1:
            runs.append(range(first, number + 1))
            first = number + 1
    return runs


def _budget(mass: torch.Tensor, missed: float) -> torch.Tensor:
    ordered, where = mass.sort(dim=1, descending=True)
    before = ordered.cumsum(dim=1) - ordered
    total = mass.sum(dim=1, keepdim=True)
    wanted = (before < (1.0 - missed) * total) & (ordered > 0)
    wanted[:, 0] = True
    return torch.zeros_like(wanted).scatter_(1, where, wanted)
