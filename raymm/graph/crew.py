"""Those who work out a graph side by side: pieces on their own, or pieces that meet for sums."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeVar

import numpy as np

from raymm.parallel.grid import share

Result = TypeVar("Result")
Shared = Mapping[str, Any]
"""Arrays and sparse matrices that every piece of a computation reads; they may be read-only."""

_PIECES_EACH = 4  # pieces a worker gets of work without meetings, so that a slow one holds up little


class Holders(Protocol):
    """Those who hold the rows together; all call the same methods in the same order."""

    def total(self, values: np.ndarray) -> np.ndarray:
        """Add up `values` over all holders; each gets the same sum, in every bit."""
        ...

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        """Stack the rows of all holders in the order of items."""
        ...


class Crew(Protocol):
    """Who does the pieces of a computation. Work is a function of a module of raymm: it may run in another process."""

    @property
    def size(self) -> int:
        """How many work at a time."""
        ...

    def map(self, work: Callable[[Shared, Any], Result], shared: Shared, pieces: Sequence[Any]) -> list[Result]:
        """Return `work(shared, piece)` of every piece, in order; no piece needs another."""
        ...

    def together(
        self, work: Callable[[Shared, Any, Holders], Result], shared: Shared, pieces: Sequence[Any]
    ) -> list[Result]:
        """Return `work(shared, piece, holders)` of every piece, in order; the pieces run at one time and meet."""
        ...


class SingleHolder:
    """The one holder of all rows."""

    def total(self, values: np.ndarray) -> np.ndarray:
        """Return `values`."""
        return values

    def gathered(self, rows: np.ndarray) -> np.ndarray:
        """Return `rows`."""
        return rows


class Alone:
    """The crew of one, in this process."""

    @property
    def size(self) -> int:
        """One."""
        return 1

    def map(self, work: Callable[[Shared, Any], Result], shared: Shared, pieces: Sequence[Any]) -> list[Result]:
        """Do the pieces one after the other; see `Crew`."""
        return [work(shared, piece) for piece in pieces]

    def together(
        self, work: Callable[[Shared, Any, Holders], Result], shared: Shared, pieces: Sequence[Any]
    ) -> list[Result]:
        """Do the one piece; see `Crew`."""
        (piece,) = pieces
        return [work(shared, piece, SingleHolder())]


ALONE = Alone()


def pieces_for(crew: Crew, n_rows: int, least: int) -> list[range]:
    """Cut rows into consecutive runs for `Crew.map`: a few for each worker, none much below `least` rows."""
    count = max(1, min(n_rows // least, crew.size * _PIECES_EACH if crew.size > 1 else 1))
    return [share(n_rows, part, count) for part in range(count)]


def rows_for(crew: Crew, n_rows: int, least: int) -> list[range]:
    """Cut rows into consecutive runs for `Crew.together`: at most one for each worker, none much below `least` rows."""
    count = max(1, min(n_rows // least, crew.size))
    return [share(n_rows, part, count) for part in range(count)]
