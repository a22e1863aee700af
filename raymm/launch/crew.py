"""A crew of Ray tasks: pieces on any node, arrays through the object store, and a place where holders of rows meet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import ray
from ray.exceptions import RayError, RayTaskError, WorkerCrashedError

from raymm.errors import ClusterError
from raymm.graph.crew import Holders, Shared
from raymm.launch.session import plain_errors

Result = TypeVar("Result")

_ATTEMPTS = 3  # times that holders begin together: a meeting that one of them missed cannot go on
_MOST = 64  # tasks at a time: more would wait for one another longer than they work


class RayCrew:
    """`graph.crew.Crew` of Ray tasks, one CPU each.

    Pieces that meet take no CPU from Ray's books: if some of them had to wait for room that others hold, nobody would
    ever go on. They run beside whatever else there is.

    Args:
        size: Tasks at a time; None for as many as the cluster has CPUs.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size or max(1, min(_MOST, int(ray.cluster_resources().get("CPU", 1))))

    @property
    def size(self) -> int:
        """How many work at a time."""
        return self._size

    def map(self, work: Callable[[Shared, Any], Result], shared: Shared, pieces: Sequence[Any]) -> list[Result]:
        """Do the pieces as tasks, which Ray does again if their process dies; a single piece is done here.

        Raises:
            RaymmError: Whatever the work raised.
        """
        if len(pieces) == 1:
            return [work(shared, pieces[0])]
        stored: Any = ray.put(dict(shared))
        with plain_errors():
            return list(ray.get([_done.remote(work, stored, piece) for piece in pieces]))

    def together(
        self, work: Callable[[Shared, Any, Holders], Result], shared: Shared, pieces: Sequence[Any]
    ) -> list[Result]:
        """Do the pieces as tasks that meet in an actor; if a process dies, all begin again.

        Raises:
            RaymmError: Whatever the work raised.
            ClusterError: Processes died in every attempt.
        """
        stored: Any = ray.put(dict(shared))
        for _ in range(_ATTEMPTS):
            meeting: Any = ray.remote(Meeting).options(num_cpus=0, scheduling_strategy="DEFAULT").remote(len(pieces))
            calls = [_met.remote(work, stored, piece, meeting, rank) for rank, piece in enumerate(pieces)]
            try:
                with plain_errors():
                    return _first_trouble_first(calls)
            except (RayTaskError, WorkerCrashedError) as error:
                if isinstance(error, RayTaskError) and not isinstance(error.cause, RayError):
                    raise
                trouble = error
            finally:
                ray.kill(meeting)  # whoever still waits there ends
                for call in calls:
                    ray.cancel(call, force=True)
        raise ClusterError(
            f"holders of rows that died {_ATTEMPTS} times: {str(trouble).splitlines()[0]}",
            "processes that live",
            f"{len(pieces)} shards of items",
            "look at the memory of the nodes; a cluster with fewer CPUs makes fewer shards",
        )


class Meeting:
    """The actor: in each round every holder brings its part, and all leave with the same."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
        self._made: dict[int, np.ndarray] = {}
        self._left: dict[int, int] = defaultdict(int)
        self._there: dict[int, asyncio.Event] = defaultdict(asyncio.Event)

    async def total(self, turn: int, rank: int, values: np.ndarray) -> np.ndarray:
        """Return the sum of all parts, added in the order of ranks."""
        return await self._meet(turn, rank, values, np.sum)

    async def gathered(self, turn: int, rank: int, rows: np.ndarray) -> np.ndarray:
        """Return all parts, stacked in the order of ranks."""
        return await self._meet(turn, rank, rows, np.concatenate)

    async def _meet(self, turn: int, rank: int, part: np.ndarray, join: Callable[..., Any]) -> np.ndarray:
        self._parts[turn][rank] = part
        if len(self._parts[turn]) == self._count:
            parts = [self._parts[turn][rank] for rank in range(self._count)]
            self._made[turn] = join(parts, axis=0)
            self._there[turn].set()
        await self._there[turn].wait()
        made = self._made[turn]
        self._left[turn] += 1
        if self._left[turn] == self._count:
            ended: tuple[dict[int, Any], ...] = (self._parts, self._made, self._left, self._there)
            for kept in ended:
                del kept[turn]
        return made


class _Holder:
    """One holder of rows, who goes to the meeting for every sum."""

    def __init__(self, meeting: Any, rank: int) -> None:
        self._meeting, self._rank, self._turn = meeting, rank, 0

    def total(self, values: np.ndarray) -> np.ndarray:
        return self._go(self._meeting.total, values)

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        return self._go(self._meeting.gathered, rows)

    def _go(self, method: Any, part: np.ndarray) -> np.ndarray:
        self._turn += 1
        made: np.ndarray = ray.get(method.remote(self._turn, self._rank, part))
        return made


@ray.remote(num_cpus=1, scheduling_strategy="DEFAULT")
def _done(work: Callable[[Shared, Any], Any], shared: Shared, piece: Any) -> Any:
    return work(shared, piece)


@ray.remote(num_cpus=0, max_retries=0, scheduling_strategy="SPREAD")
def _met(work: Callable[[Shared, Any, Holders], Any], shared: Shared, piece: Any, meeting: Any, rank: int) -> Any:
    return work(shared, piece, _Holder(meeting, rank))


def _first_trouble_first(calls: list[Any]) -> list[Any]:
    """Wait for all, but raise as soon as one fails: the others would wait for it."""
    waiting = list(calls)
    while waiting:
        ready, waiting = ray.wait(waiting)
        ray.get(ready)
    return list(ray.get(calls))
