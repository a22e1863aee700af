"""A Ray Train worker: one rank of the training, its rows by Ray Data, its checkpoints by Ray Train."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch.distributed as dist

from raymm.data.prepared import PreparedSet, open_prepared
from raymm.data.sampling import Positives
from raymm.errors import RaymmError, TrainingError
from raymm.experiment import build_experiment
from raymm.launch.background import OnRay
from raymm.launch.held import note_held
from raymm.launch.ingest import read_positives
from raymm.launch.rank import RankWork, train_rank
from raymm.parallel.grid import Grid


def train_worker(request: dict[str, Any]) -> None:
    """Train one run on this rank; called by Ray Train with the request that `launch.train` made.

    An error of raymm itself is noted on the board: it would come again after a restart, so a restarted worker gives up
    at once, and the driver shows it instead of Ray's account of it.

    Args:
        request: `experiment` (plain), `prepared` (folder), `known_pairs`, `structures` (where they are),
            `board` (actor), `errands` (actor), `storage` (folder), `until` (epoch), `start` (folder
            of the checkpoint to go on from where the run has none of its own, or None).
    """
    if ray.train.get_context().get_world_rank() == 0:
        note_held(Path(request["storage"]))
    board = request["board"]
    failure = ray.get(board.facts.remote()).get("failure")
    if failure is not None:
        raise TrainingError(failure["found"], failure["expected"], failure["where"], failure["remedy"])
    try:
        train_rank(_work(request), _OnRayTrain(request))
    except RaymmError as error:
        ray.get(board.note.remote({"failure": described(error)}))
        raise


def described(error: RaymmError) -> dict[str, str]:
    """Turn an exception into plain data."""
    return {
        "kind": type(error).__name__,
        "found": error.found,
        "expected": error.expected,
        "where": error.where,
        "remedy": error.remedy,
    }


def _work(request: dict[str, Any]) -> RankWork:
    experiment = build_experiment(request["experiment"])
    return RankWork(
        experiment,
        experiment.scope(open_prepared(Path(request["prepared"]))),
        request["known_pairs"],
        tuple(made.open() for made in request["structures"]),
        Path(request["start"]) if request["start"] is not None else None,
        request["until"],
    )


class _OnRayTrain:
    """`launch.rank.Host` of a Ray Train worker."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._board, self._errands = request["board"], request["errands"]

    def positives(self, prepared: PreparedSet) -> tuple[Positives, ...]:
        """Collect the rows from all ranks' Ray Data shards."""
        return read_positives(prepared)

    def background(self, grid: Grid) -> OnRay:
        """Join those who share the work beside the training; what workers before these asked for is forgotten first."""
        if grid.rank == 0:
            ray.get(self._errands.clear.remote())
        if grid.world_size > 1:
            dist.barrier()
        return OnRay(self._errands, asks=grid.rank == 0)

    @contextmanager
    def checkpoint(self) -> Iterator[Path | None]:
        """Fetch what Ray Train keeps."""
        checkpoint = ray.train.get_checkpoint()
        if checkpoint is None:
            yield None
        else:
            with checkpoint.as_directory() as folder:
                yield Path(folder)

    def report(self, metrics: dict[str, float], folder: Path) -> None:
        """Hand it to Ray Train, which puts the parts of all ranks together."""
        ray.train.report(metrics, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))

    def post(self, record: dict[str, Any]) -> None:
        """Post it on the board."""
        ray.get(self._board.post.remote(record))
