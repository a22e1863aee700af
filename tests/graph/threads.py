"""A crew of threads in one process, whose holders of rows meet at a barrier."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from raymm.graph.crew import Holders, Shared


class Threads:
    """What the holders exchange."""

    def __init__(self, count: int) -> None:
        self.barrier = threading.Barrier(count, timeout=30)
        self.parts: list[np.ndarray | None] = [None] * count

    def holder(self, rank: int) -> Holders:
        return _Thread(self, rank)

    def exchange(self, rank: int, values: np.ndarray) -> list[np.ndarray]:
        self.parts[rank] = values
        self.barrier.wait()
        parts = list(self.parts)
        self.barrier.wait()
        return parts


class ThreadCrew:
    """A crew of threads; notes how many pieces each call was cut into."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.mapped: list[int] = []
        self.met: list[int] = []

    def map(self, work: Callable[[Shared, Any], Any], shared: Shared, pieces: Sequence[Any]) -> list[Any]:
        self.mapped.append(len(pieces))
        with ThreadPoolExecutor(self.size) as pool:
            return list(pool.map(lambda piece: work(shared, piece), pieces))

    def together(self, work: Callable[[Shared, Any, Holders], Any], shared: Shared, pieces: Sequence[Any]) -> list[Any]:
        self.met.append(len(pieces))
        threads = Threads(len(pieces))
        with ThreadPoolExecutor(len(pieces)) as pool:
            calls = [pool.submit(work, shared, piece, threads.holder(rank)) for rank, piece in enumerate(pieces)]
            return [call.result() for call in calls]


class _Thread:
    def __init__(self, threads: Threads, rank: int) -> None:
        self.threads, self.rank = threads, rank

    def total(self, values: np.ndarray) -> np.ndarray:
        return np.sum(self.threads.exchange(self.rank, values), axis=0)

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        return np.concatenate(self.threads.exchange(self.rank, rows))
