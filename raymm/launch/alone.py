"""Training in this process, without a cluster: one rank whose checkpoints lie in the run's own storage."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm.data.prepared import PreparedSet
from raymm.data.sampling import Positives
from raymm.launch.rank import LOOP_FILE, RankWork, train_rank
from raymm.models.spec import InProcess
from raymm.parallel.grid import Grid

FOLDER = "alone"
_DONE, _BEGUN = "epoch-", "begun"


def train_alone(work: RankWork, storage: Path, on_epoch: Callable[[dict[str, Any]], None]) -> Path:
    """Train as the only rank.

    Args:
        work: What to do; its scale has no workers.
        storage: Folder of checkpoints; an interrupted run goes on from the last one there.
        on_epoch: Called with the plain record of each epoch.

    Returns:
        Folder of the last checkpoint.

    Raises:
        RaymmError: Whatever stops the training.
    """
    train_rank(work, _Here(storage, on_epoch))
    last = last_checkpoint(storage)
    assert last is not None  # the last epoch is always kept
    return last


def last_checkpoint(storage: Path) -> Path | None:
    """Return the last whole checkpoint that a training in one process left in its storage; None without one."""
    whole = [path for path in (storage / FOLDER).glob(f"{_DONE}*") if path.is_dir()]
    return max(whole, key=_place, default=None)


@dataclass(frozen=True, eq=False)
class _Here:
    """`launch.rank.Host` of the only rank.

    Attributes:
        storage: See `train_alone`.
        on_epoch: See `train_alone`.
    """

    storage: Path
    on_epoch: Callable[[dict[str, Any]], None]

    def positives(self, prepared: PreparedSet) -> tuple[Positives, ...]:
        """Read the rows from the prepared files."""
        return tuple(Positives(*prepared.train_pairs(facts.name), facts.n_items) for facts in prepared.domains)

    def background(self, grid: Grid) -> InProcess:  # noqa: ARG002 - there is one rank
        """Do the work when its result is wanted."""
        return InProcess()

    @contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        """Give the last one."""
        yield last_checkpoint(self.storage)

    def report(self, metrics: dict[str, float], folder: Path) -> None:  # noqa: ARG002 - records are told by `post`
        """Move it into the storage: under its name once it is whole, and those before it go."""
        kept = self.storage / FOLDER
        begun = kept / _BEGUN
        shutil.rmtree(begun, ignore_errors=True)  # of a process that was killed in the middle of it
        shutil.copytree(folder, begun)
        state = json.loads((begun / LOOP_FILE).read_text())
        done = kept / f"{_DONE}{state['epoch']}-{state['step']}"
        shutil.rmtree(done, ignore_errors=True)
        os.replace(begun, done)
        for old in kept.glob(f"{_DONE}*"):
            if old != done:
                shutil.rmtree(old)

    def post(self, record: dict[str, Any]) -> None:
        """Tell it."""
        self.on_epoch(record)


def _place(folder: Path) -> tuple[int, int]:
    """Return the epoch, and the step within the next one, that a whole checkpoint was made after; its name says so."""
    epoch, step = folder.name.removeprefix(_DONE).split("-")
    return int(epoch), int(step)
