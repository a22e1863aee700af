"""Transport on Ray: actors hold the rows, the driver holds g, only column sums travel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import ray
import torch

from raymm.errors import ClusterError
from raymm.transport.bilinear import Bilinear
from raymm.transport.problem import Problem
from raymm.transport.support import shared_out
from raymm.transport.sweep import LocalSweep, Task

Marked = tuple[int, list[Any]]  # a version number, and a reference inside a list so that Ray does not fetch it unasked


class RayRows:
    """`RowSweep` whose rows are held by actors.

    Sums are added in float64 in the order of the actors, so that a run can be repeated. An actor that dies is started
    again by Ray, fetches its rows from the object store and makes its f anew from the last g; the driver notices
    nothing but the time.

    Args:
        problem: Rows and columns in the order of the cells.
        tasks: The row cells.
        workers: Actors wanted; there are fewer where there are fewer cells.
        cpus: CPUs of each actor, which are its threads too.

    Raises:
        ClusterError: Ray is not connected, or has not these CPUs.
    """

    def __init__(self, problem: Problem, tasks: Sequence[Task], workers: int, cpus: int = 1) -> None:
        _check_cluster(workers, cpus)
        self._runs = shared_out(tasks, problem.cost.m, workers)
        self._m, self._version, self._made = problem.cost.m, 0, 0
        # Held here for as long as an actor may have to be started again with them.
        self._stored = {name: ray.put(array.cpu().numpy()) for name, array in _arrays(problem).items()}
        holder: Any = ray.remote(RowHolder).options(num_cpus=cpus, max_restarts=-1, max_task_retries=-1)
        self._holders: list[Any] = []
        for run in self._runs:
            rows = (tasks[run.start].start, tasks[run.stop - 1].stop)
            self._holders.append(holder.remote(self._stored, rows, (problem.epsilon, problem.rho), cpus))
        self._offsets = [tasks[run.start].start for run in self._runs]
        self._recipe: tuple[int, list[Marked], Any] | None = None
        self.retask(tasks)

    @property
    def holders(self) -> list[Any]:
        """The actors, in the order of their rows."""
        return list(self._holders)

    def columns(self, g: torch.Tensor) -> torch.Tensor:
        """Renew f by the soft c-transform of g; return the column sums."""
        parts = self._renew("columns", g)
        return _summed(parts)

    def grouped(self, g: torch.Tensor, groups: torch.Tensor, n_groups: int) -> torch.Tensor:
        """Renew f and return the plan's mass by task and by group of columns."""
        parts = self._renew("grouped", g, ray.put(groups.numpy()), n_groups)
        return torch.cat([torch.from_numpy(part.copy()) for part in parts])

    def masses(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return row sums and column sums of the plan of the present f with another g."""
        stored = ray.put(g.numpy())
        calls = [
            holder.masses.remote(self._tasks[number], self._recipe_of(number), stored)
            for number, holder in enumerate(self._holders)
        ]
        parts = ray.get(calls)
        return torch.cat([torch.from_numpy(rows.copy()) for rows, _ in parts]), _summed([sums for _, sums in parts])

    def potentials(self) -> torch.Tensor:
        """Return f of the last pass."""
        calls = [holder.potentials.remote(self._recipe_of(number)) for number, holder in enumerate(self._holders)]
        return torch.cat([torch.from_numpy(part.copy()) for part in ray.get(calls)])

    def retask(self, tasks: Sequence[Task]) -> None:
        """Let the rows see other columns from now on; the same row cells in the same order."""
        self._version += 1
        self._tasks: list[Marked] = []
        for run, offset in zip(self._runs, self._offsets, strict=True):
            own = [replace(tasks[n], start=tasks[n].start - offset, stop=tasks[n].stop - offset) for n in run]
            self._tasks.append((self._version, [ray.put(own)]))

    def _renew(self, method: str, g: torch.Tensor, *more: Any) -> list[Any]:
        self._made += 1
        stored = ray.put(g.numpy())
        self._recipe = (self._made, self._tasks, stored)
        calls = [
            getattr(holder, method).remote(self._tasks[number], self._made, stored, *more)
            for number, holder in enumerate(self._holders)
        ]
        return list(ray.get(calls))

    def _recipe_of(self, number: int) -> tuple[int, Marked, list[Any]] | None:
        """What an actor needs to make its f anew, should it have been started again since."""
        if self._recipe is None:
            return None
        made, tasks, g = self._recipe
        return made, tasks[number], [g]


class RowHolder:
    """The actor: some rows, all columns, and the f of its rows."""

    def __init__(
        self, stored: dict[str, Any], rows: tuple[int, int], weights: tuple[float, float], threads: int
    ) -> None:
        torch.set_num_threads(threads)
        arrays = {name: ray.get(reference) for name, reference in stored.items()}
        for name in ("source", "source_offset", "a"):
            arrays[name] = arrays[name][rows[0] : rows[1]]
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        none = torch.zeros(0, dtype=torch.int64)
        sides = (tensors["source"], tensors["target"], tensors["source_offset"], tensors["target_offset"])
        problem = Problem(Bilinear(*sides, none, none), tensors["a"], tensors["b"], *weights)
        self._sweep = LocalSweep(problem)
        self._version, self._made = -1, -1

    def columns(self, tasks: Marked, made: int, g: np.ndarray) -> np.ndarray:
        """Renew f, which is then number `made`; return own column sums."""
        self._use(tasks)
        sums = self._sweep.columns(torch.from_numpy(g.copy()))
        self._made = made
        return np.asarray(sums.numpy())

    def grouped(self, tasks: Marked, made: int, g: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
        """Renew f; return the masses of own tasks by group of columns."""
        self._use(tasks)
        mass = self._sweep.grouped(torch.from_numpy(g.copy()), torch.from_numpy(groups.copy()), n_groups)
        self._made = made
        return np.asarray(mass.numpy())

    def masses(
        self, tasks: Marked, recipe: tuple[int, Marked, list[Any]] | None, g: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return own row sums and column sums of the present f with another g."""
        self._remake(recipe)
        self._use(tasks)
        rows, sums = self._sweep.masses(torch.from_numpy(g.copy()))
        return np.asarray(rows.numpy()), np.asarray(sums.numpy())

    def potentials(self, recipe: tuple[int, Marked, list[Any]] | None) -> np.ndarray:
        """Return own f."""
        self._remake(recipe)
        return np.asarray(self._sweep.potentials().numpy())

    def _use(self, tasks: Marked) -> None:
        version, reference = tasks
        if version != self._version:
            self._sweep.retask(ray.get(reference[0]))
            self._version = version

    def _remake(self, recipe: tuple[int, Marked, list[Any]] | None) -> None:
        if recipe is not None and recipe[0] != self._made:
            made, tasks, g = recipe
            self.columns(tasks, made, ray.get(g[0]))


def on_ray(workers: int, cpus: int = 1) -> Callable[[Problem, Sequence[Task]], RayRows]:
    """Return the runner that `solve_partitioned` and `match_populations` take to put their rows on Ray.

    Args:
        workers: Actors wanted.
        cpus: CPUs of each.
    """

    def start(problem: Problem, tasks: Sequence[Task]) -> RayRows:
        return RayRows(problem, tasks, workers, cpus)

    return start


def _arrays(problem: Problem) -> dict[str, torch.Tensor]:
    cost = problem.cost
    if len(cost.bonus_rows):
        raise ClusterError("a soft mask", "a hard mask", "transport on Ray", "take the known pairs out of the problem")
    return {
        "source": cost.source,
        "target": cost.target,
        "source_offset": cost.source_offset,
        "target_offset": cost.target_offset,
        "a": problem.a,
        "b": problem.b,
    }


def _summed(parts: Sequence[np.ndarray]) -> torch.Tensor:
    total = torch.zeros(len(parts[0]), dtype=torch.float64)
    for part in parts:
        total += torch.from_numpy(np.array(part))
    return total


def _check_cluster(workers: int, cpus: int) -> None:
    if not ray.is_initialized():
        raise ClusterError("no connection to Ray", "a cluster", "transport on Ray", "call ray.init first")
    there = ray.cluster_resources().get("CPU", 0)
    if workers < 1 or workers * cpus > there:
        raise ClusterError(
            f"{workers} workers of {cpus} CPUs, {there:g} CPUs in the cluster",
            "at least one worker and no more CPUs than there are",
            "transport on Ray",
            "ask for fewer workers, or add nodes",
        )
