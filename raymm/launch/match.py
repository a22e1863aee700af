"""Transport on Ray: actors hold the rows, the driver holds g, only column sums travel."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import ray
import torch

from raymm.errors import ClusterError
from raymm.launch.room import NODE_WAIT_S, wait_for_room
from raymm.transport.bilinear import Bilinear
from raymm.transport.problem import Problem
from raymm.transport.support import shared_out
from raymm.transport.sweep import LocalSweep, Task


@dataclass(frozen=True, eq=False)
class Share:
    """All that an actor is made of; it travels with every call.

    An actor that Ray started again has forgotten everything, and Ray does not keep the arguments of a constructor for
    it. References stand inside containers, so that Ray does not fetch them unasked.

    Attributes:
        arrays: References of the arrays of the problem, which the driver holds.
        rows: First row, and one past the last.
        weights: epsilon and rho.
        threads: Of the actor.
        version: Number of the tasks.
        tasks: The reference of the tasks, in a list.
    """

    arrays: dict[str, Any]
    rows: tuple[int, int]
    weights: tuple[float, float]
    threads: int
    version: int
    tasks: list[Any]


Recipe = tuple[int, Share, list[Any]]  # how f was made: number of the pass, share, and the reference of g in a list


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
        ClusterError: Ray is not connected, or has not these CPUs, and no nodes with them came.
    """

    def __init__(self, problem: Problem, tasks: Sequence[Task], workers: int, cpus: int = 1) -> None:
        _check_cluster(workers, cpus)
        self._runs = shared_out(tasks, problem.cost.m, workers)
        self._version, self._made = 0, 0
        # Held here for as long as an actor may have to be started again with them.
        stored = {name: ray.put(array.cpu().numpy()) for name, array in _arrays(problem).items()}
        rows = [(tasks[run.start].start, tasks[run.stop - 1].stop) for run in self._runs]
        self._shares = [Share(stored, own, (problem.epsilon, problem.rho), cpus, 0, []) for own in rows]
        holder: Any = ray.remote(RowHolder).options(num_cpus=cpus, max_restarts=-1, max_task_retries=-1)
        self._holders: list[Any] = [holder.remote() for _ in self._shares]
        self._recipes: list[Recipe | None] = [None] * len(self._shares)
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
        calls = [holder.masses.remote(*state, stored) for holder, *state in self._states()]
        parts = ray.get(calls)
        return torch.cat([torch.from_numpy(rows.copy()) for rows, _ in parts]), _summed([sums for _, sums in parts])

    def potentials(self) -> torch.Tensor:
        """Return f of the last pass."""
        calls = [holder.potentials.remote(*state) for holder, *state in self._states()]
        return torch.cat([torch.from_numpy(part.copy()) for part in ray.get(calls)])

    def retask(self, tasks: Sequence[Task]) -> None:
        """Let the rows see other columns from now on; the same row cells in the same order."""
        self._version += 1
        for number, (run, share) in enumerate(zip(self._runs, self._shares, strict=True)):
            first = share.rows[0]
            own = [replace(tasks[n], start=tasks[n].start - first, stop=tasks[n].stop - first) for n in run]
            self._shares[number] = replace(share, version=self._version, tasks=[ray.put(own)])

    def _renew(self, method: str, g: torch.Tensor, *more: Any) -> list[Any]:
        self._made += 1
        stored = ray.put(g.numpy())
        self._recipes = [(self._made, share, [stored]) for share in self._shares]
        calls = [
            getattr(holder, method).remote(share, self._made, stored, *more)
            for holder, share in zip(self._holders, self._shares, strict=True)
        ]
        return list(ray.get(calls))

    def _states(self) -> list[tuple[Any, Share, Recipe | None]]:
        """Return each actor with what it needs to make itself and its f anew, should it have been started again."""
        return list(zip(self._holders, self._shares, self._recipes, strict=True))


class RowHolder:
    """The actor: some rows, all columns, and the f of its rows."""

    def __init__(self) -> None:
        self._sweep: LocalSweep | None = None
        self._version, self._made = -1, -1

    def columns(self, share: Share, made: int, g: Any) -> np.ndarray:
        """Renew f by g (m,), an array; f is then number `made`. Return own column sums."""
        sums = self._using(share).columns(torch.from_numpy(g.copy()))
        self._made = made
        return np.asarray(sums.numpy())

    def grouped(self, share: Share, made: int, g: np.ndarray, groups: np.ndarray, n_groups: int) -> np.ndarray:
        """Renew f; return the masses of own tasks by group of columns."""
        mass = self._using(share).grouped(torch.from_numpy(g.copy()), torch.from_numpy(groups.copy()), n_groups)
        self._made = made
        return np.asarray(mass.numpy())

    def masses(self, share: Share, recipe: Recipe | None, g: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return own row sums and column sums of the present f with another g."""
        self._remake(recipe)
        rows, sums = self._using(share).masses(torch.from_numpy(g.copy()))
        return np.asarray(rows.numpy()), np.asarray(sums.numpy())

    def potentials(self, share: Share, recipe: Recipe | None) -> np.ndarray:
        """Return own f."""
        self._remake(recipe)
        return np.asarray(self._using(share).potentials().numpy())

    def _using(self, share: Share) -> LocalSweep:
        if self._sweep is None:
            torch.set_num_threads(share.threads)
            self._sweep = LocalSweep(_part(share))
        if share.version != self._version:
            self._sweep.retask(ray.get(share.tasks[0]))
            self._version = share.version
        return self._sweep

    def _remake(self, recipe: Recipe | None) -> None:
        if recipe is not None and recipe[0] != self._made:
            made, share, g = recipe
            self.columns(share, made, ray.get(g[0]))


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


def _part(share: Share) -> Problem:
    """Fetch the arrays and cut the own rows out."""
    arrays = {name: ray.get(reference) for name, reference in share.arrays.items()}
    for name in ("source", "source_offset", "a"):
        arrays[name] = arrays[name][share.rows[0] : share.rows[1]]
    tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
    none = torch.zeros(0, dtype=torch.int64)
    sides = (tensors["source"], tensors["target"], tensors["source_offset"], tensors["target_offset"])
    return Problem(Bilinear(*sides, none, none), tensors["a"], tensors["b"], *share.weights)


def _summed(parts: Sequence[np.ndarray]) -> torch.Tensor:
    total = torch.zeros(len(parts[0]), dtype=torch.float64)
    for part in parts:
        total += torch.from_numpy(np.array(part))
    return total


def _check_cluster(workers: int, cpus: int) -> None:
    if not ray.is_initialized():
        raise ClusterError("no connection to Ray", "a cluster", "transport on Ray", "call ray.init first")
    wait_for_room([{"CPU": float(cpus)}] * workers)
    there = ray.cluster_resources().get("CPU", 0)
    if workers < 1 or workers * cpus > there:
        raise ClusterError(
            f"{workers} workers of {cpus} CPUs, {there:g} CPUs in the cluster",
            "at least one worker and no more CPUs than there are",
            "transport on Ray",
            f"ask for fewer workers, or add nodes; those of an autoscaler have {NODE_WAIT_S:g} s to come",
        )
