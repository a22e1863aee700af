"""Work for crews of Ray tasks, in a module of its own, as tasks import what they do."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from raymm.errors import DataError
from raymm.graph.crew import Holders, Shared


def scaled(shared: Shared, piece: range) -> tuple[int, np.ndarray]:
    return os.getpid(), shared["values"][piece.start : piece.stop] * 2


def refused(shared: Shared, piece: Any) -> None:
    raise DataError("nothing", "something", "a test", "try again")


def centred(shared: Shared, piece: tuple[int, np.ndarray], holders: Holders) -> tuple[np.ndarray, np.ndarray]:
    """Take the mean of all rows from the rows held here, and fetch all; the first holder dies once."""
    rank, rows = piece
    if rank == 0 and not Path(shared["died"]).exists():
        Path(shared["died"]).touch()
        os._exit(1)
    total, count = holders.total(rows.sum(axis=0)), holders.total(np.array([len(rows)]))
    return rows - total / count, holders.gathered(rows)


def refused_by_one(shared: Shared, piece: int, holders: Holders) -> None:
    if piece == 1:
        raise DataError("nothing", "something", "a test", "try again")
    holders.total(np.ones(1))
