"""One Sinkhorn iteration in one pass over row blocks: rows normalised and columns summed without storing the kernel."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from raymm.errors import SolverError
from raymm.transport.bilinear import Bilinear
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import damping

_CPU_ROWS = 128  # the block stays in the cache; 64 to 256 are equal, 2048 costs a fifth
_GPU_ENTRIES = 1 << 26  # on a GPU the block is in memory: 256 MiB of float32
_SOUND = 1e30  # row sums outside 1 / this .. this have left the range that float32 resolves


@dataclass(frozen=True, eq=False)
class Task:
    """Consecutive rows and the columns they may be matched to.

    Attributes:
        start: First row.
        stop: One past the last row.
        runs: Half-open runs of columns, ascending, or None for all columns. Runs keep a task small: it travels, and
            there is one for each of a thousand cells.
    """

    start: int
    stop: int
    runs: tuple[tuple[int, int], ...] | None = None

    def of(self, columns: torch.Tensor) -> torch.Tensor:
        """Return the entries (or rows) of something (m, ...) that belong to the task's columns."""
        return columns if self.runs is None else torch.cat([columns[start:stop] for start, stop in self.runs])

    def width(self, m: int) -> int:
        """Return the number of the task's columns, of m in all."""
        return m if self.runs is None else sum(stop - start for start, stop in self.runs)


class RowSweep(Protocol):
    """Whoever holds the rows: this process, the ranks of a group, or remote workers.

    The driver of an iteration knows g, sends it, and gets column sums back; f stays with the rows.
    """

    def columns(self, g: torch.Tensor) -> torch.Tensor:
        """Renew f by the soft c-transform of g (m,) float64; return the plan's column sums (m,) float64."""
        ...

    def masses(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return row sums (n,) and column sums (m,) of the plan of the present f with another g."""
        ...

    def potentials(self) -> torch.Tensor:
        """Return f (n,) float64 of the last `columns`."""
        ...

    def grouped(self, g: torch.Tensor, groups: torch.Tensor, n_groups: int) -> torch.Tensor:
        """Renew f and return the plan's mass by task and by group of columns: (tasks, n_groups) float64."""
        ...

    def retask(self, tasks: Sequence[Task]) -> None:
        """Let the rows see other columns from now on; f stays."""
        ...


class LocalSweep:
    """`RowSweep` over rows in this process.

    For a block of rows the scores S = x / eps . y + (g / eps + log b) + f_old / eps are ONE matrix product with two
    more coordinates; then exp in place, row sums r, f = damp (f_old - eps log r), and the columns get w^T exp(S)
    with w = a exp((f - f_old) / eps). The old f takes the place of the row maximum; blocks for which it is too far off
    are done again with a true maximum. Blocks have the type of the cost, potentials and sums are float64.

    Args:
        problem: The rows of this process and all columns.
        tasks: Which rows see which columns; all rows see all columns where left out.
        fused: Whether the kernels of `fused` take the place of blocks; left out, wherever they can: float32 on a CUDA
            device of compute capability 8 or more, no soft mask, and Triton installed. They give the same up to the
            rounding of float32.

    Raises:
        SolverError: A soft mask together with partial columns.
    """

    def __init__(self, problem: Problem, tasks: Sequence[Task] | None = None, fused: bool | None = None) -> None:
        cost, epsilon = problem.cost, problem.epsilon
        self._cost, self._a, self._epsilon = cost, problem.a, epsilon
        self._damp = damping(problem.rho, epsilon)
        self._log_b = problem.b.log()
        self.retask([Task(0, cost.n)] if tasks is None else tasks)
        n, m, kind = cost.n, cost.m, cost.source
        self._left = torch.cat([kind * (1.0 / epsilon), kind.new_ones(n, 1), kind.new_zeros(n, 1)], dim=1)
        self._right = torch.cat([cost.target, kind.new_zeros(m, 1), kind.new_ones(m, 1)], dim=1)
        self._f = torch.zeros(n, dtype=torch.float64, device=kind.device)
        self._fresh = True
        self._space = kind.new_empty(0)
        self._fused = _can_fuse(cost) if fused is None else fused

    def columns(self, g: torch.Tensor) -> torch.Tensor:
        """Renew f by the soft c-transform of g; return the column sums (m,) float64."""
        total = torch.zeros_like(g)
        self._pass(g, total)
        return total

    def grouped(self, g: torch.Tensor, groups: torch.Tensor, n_groups: int) -> torch.Tensor:
        """Renew f and return the plan's mass by task and by group of columns: (tasks, n_groups) float64."""
        total = torch.zeros(len(self._tasks), n_groups, dtype=torch.float64, device=g.device)
        self._pass(g, total, groups)
        return total

    def masses(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return row sums (n,) and column sums (m,) of the plan of the present f with another g."""
        shift, rows, total = self._load(g), torch.zeros_like(self._f), torch.zeros_like(g)
        weights = self._a * torch.exp((self._f - shift) / self._epsilon)
        for task in self._tasks:
            right = task.of(self._right)
            if self._fused:
                _add(total, task, self._fused_masses(task, right, weights, rows))
                continue
            sums = torch.zeros(len(right), dtype=torch.float64, device=g.device)
            for start, stop in self._blocks(task, len(right)):
                kernel = self._scores(start, stop, right).exp_()
                rows[start:stop] = weights[start:stop] * kernel.sum(dim=1).double()
                sums += (weights[start:stop].to(kernel.dtype) @ kernel).double()
            _add(total, task, sums)
        return rows, total

    def potentials(self) -> torch.Tensor:
        """Return f (n,) float64 of the last pass."""
        return self._f

    def retask(self, tasks: Sequence[Task]) -> None:
        """Let the rows see other columns from now on; f stays."""
        self._tasks = list(tasks)
        if len(self._cost.bonus_rows) and any(task.runs is not None for task in self._tasks):
            raise SolverError("a soft mask with partial columns", "a hard mask", "partitioned transport")

    def _pass(self, g: torch.Tensor, total: torch.Tensor, groups: torch.Tensor | None = None) -> None:
        shift = self._load(g)
        new = torch.empty_like(self._f)
        for number, task in enumerate(self._tasks):
            right = task.of(self._right)
            if self._fused:
                sums = self._fused_pass(task, right, shift, new)
            else:
                sums = torch.zeros(len(right), dtype=torch.float64, device=g.device)
                for start, stop in self._blocks(task, len(right)):
                    self._block(start, stop, right, shift, new, sums)
            if groups is None:
                _add(total, task, sums)
            else:
                total[number].index_add_(0, task.of(groups), sums)
        self._f, self._fresh = new, False

    def _block(
        self, start: int, stop: int, right: torch.Tensor, shift: torch.Tensor, new: torch.Tensor, sums: torch.Tensor
    ) -> None:
        scores = self._scores(start, stop, right)
        top = torch.zeros(stop - start, dtype=torch.float64, device=sums.device)
        if self._fresh:
            highest = scores.amax(dim=1, keepdim=True)
            top, kernel = highest[:, 0].double(), scores.sub_(highest).exp_()
        else:
            kernel = scores.exp_()
        rows = kernel.sum(dim=1).double()
        if not bool(((rows > 1.0 / _SOUND) & (rows < _SOUND)).all()):
            scores = self._scores(start, stop, right)
            highest = scores.amax(dim=1, keepdim=True)
            top, kernel = highest[:, 0].double(), scores.sub_(highest).exp_()
            rows = kernel.sum(dim=1).double()
        logs = rows.log() + top
        old = shift[start:stop]
        f = self._damp * (old - self._epsilon * logs)
        new[start:stop] = f
        weights = self._a[start:stop] * torch.exp((f - old) / self._epsilon + top)
        sums += (weights.to(kernel.dtype) @ kernel).double()

    def _fused_pass(self, task: Task, right: torch.Tensor, shift: torch.Tensor, new: torch.Tensor) -> torch.Tensor:
        from raymm.transport.fused import column_sums, row_logs

        rows = slice(task.start, task.stop)
        left, old = self._left[rows], shift[rows]
        new[rows] = self._damp * (old - self._epsilon * row_logs(left, right))
        return column_sums(left, right, self._a[rows].log() + (new[rows] - old) / self._epsilon)

    def _fused_masses(self, task: Task, right: torch.Tensor, weights: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
        from raymm.transport.fused import column_sums, row_logs

        rows = slice(task.start, task.stop)
        left, logs = self._left[rows], weights[rows].log()
        sums[rows] = torch.exp(logs + row_logs(left, right))
        return column_sums(left, right, logs)

    def _load(self, g: torch.Tensor) -> torch.Tensor:
        """Put both potentials into the two extra coordinates; return the f that they stand for after rounding."""
        cost, epsilon = self._cost, self._epsilon
        self._right[:, -2] = ((g - cost.target_offset) / epsilon + self._log_b).to(self._right.dtype)
        self._left[:, -1] = ((self._f - cost.source_offset) / epsilon).to(self._left.dtype)
        return self._left[:, -1].double() * epsilon + cost.source_offset

    def _blocks(self, task: Task, width: int) -> list[tuple[int, int]]:
        most = _CPU_ROWS if self._left.device.type == "cpu" else max(_CPU_ROWS, _GPU_ENTRIES // max(1, width))
        count = max(1, -(-(task.stop - task.start) // most))
        edges = [task.start + (task.stop - task.start) * part // count for part in range(count + 1)]
        return list(zip(edges, edges[1:], strict=False))

    def _scores(self, start: int, stop: int, right: torch.Tensor) -> torch.Tensor:
        size = (stop - start) * len(right)
        if self._space.numel() < size:
            self._space = self._left.new_empty(size)
        scores = self._space[:size].view(stop - start, len(right))
        torch.mm(self._left[start:stop], right.T, out=scores)
        if len(self._cost.bonus_rows):
            edges = torch.tensor([start, stop], device=self._cost.bonus_rows.device)
            first, last = (int(edge) for edge in torch.searchsorted(self._cost.bonus_rows, edges))
            rows, columns = self._cost.bonus_rows[first:last] - start, self._cost.bonus_columns[first:last]
            scores[rows, columns] += self._cost.bonus / self._epsilon
        return scores


def _can_fuse(cost: Bilinear) -> bool:
    if not cost.source.is_cuda or cost.source.dtype != torch.float32 or len(cost.bonus_rows):
        return False
    modern = torch.cuda.get_device_capability(cost.source.device) >= (8, 0)  # products of TF32 begin there
    return modern and importlib.util.find_spec("triton") is not None


def _add(total: torch.Tensor, task: Task, sums: torch.Tensor) -> None:
    if task.runs is None:
        total += sums
        return
    done = 0
    for start, stop in task.runs:
        total[start:stop] += sums[done : done + stop - start]
        done += stop - start
