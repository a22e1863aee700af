"""Batch ranking with Ray Data: actors hold the model and write the shards, only their records travel."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from raymm.errors import ClusterError, RaymmError
from raymm.launch.room import NODE_WAIT_S, wait_for_room
from raymm.launch.train import rebuilt
from raymm.launch.worker import described
from raymm.tracking.batch import BatchWish, Shard, ShardRecord, write_shard
from raymm.tracking.recommender import Recommender
from raymm.tracking.served import read_served

_FIELDS = tuple(field.name for field in dataclasses.fields(Shard))


class Ranker:
    """A worker of Ray Data: reads the model with its first block, and writes one shard a block.

    Args:
        model: Folder of a served model, readable by every worker at the same path.
        folder: Folder of the shards, writable by every worker at the same path.
        wish: What is wanted.
    """

    def __init__(self, model: str, folder: str, wish: BatchWish) -> None:
        self._model, self._folder, self._wish = Path(model), Path(folder), wish
        self._recommender: Recommender | None = None

    def __call__(self, block: pa.Table) -> pa.Table:
        """Rank for the users of a block and write their shard; return its record, or what went wrong, as a row."""
        shard = Shard(**{name: block[name][0].as_py() for name in _FIELDS})
        try:
            if self._recommender is None:  # not in the constructor, which Ray calls again and again if it raises
                torch.set_num_threads(1)  # as many as were asked for
                self._recommender = Recommender(read_served(self._model))
            record = write_shard(self._recommender, self._wish, block["user"].to_pylist(), shard, self._folder)
        except RaymmError as error:  # Ray Data would wrap it so that nothing but its text is left
            return _row({}, described(error))
        return _row(dataclasses.asdict(record), {})


def rank_shards(
    model: Path,
    wish: BatchWish,
    users: Mapping[str, np.ndarray],
    shards: Sequence[Shard],
    folder: Path,
    workers: int,
) -> Iterator[ShardRecord]:
    """Write shards on the cluster that this process is connected to; yield the records as they come, in any order.

    A worker that dies is started again by Ray, and its shard is made anew.

    Args:
        model: Folder of a served model; it and `folder` must be on storage that all nodes see at the same path.
        wish: What is wanted.
        users: Domain to the external ids of its users.
        shards: What is to be made.
        folder: Folder of the shards.
        workers: Actors, of one CPU each.

    Raises:
        ClusterError: The cluster has not these CPUs, and no nodes with them came.
        RaymmError: Whatever a worker raised.
    """
    if not shards:
        return
    wait_for_room([{"CPU": 1.0}] * workers)
    have = int(ray.cluster_resources().get("CPU", 0))
    if have < workers:
        remedy = f"lower --workers, or add nodes; those of an autoscaler have {NODE_WAIT_S:g} s to come"
        raise ClusterError(f"{have} CPUs", f"{workers}, one a worker", "this Ray cluster", remedy)
    blocks = [_block(users[shard.domain][shard.start : shard.stop], shard) for shard in shards]
    made: Any = ray.data.from_arrow(blocks).map_batches(
        Ranker,
        fn_constructor_args=(str(model.absolute()), str(folder.absolute()), wish),
        batch_size=None,
        batch_format="pyarrow",
        concurrency=min(workers, len(blocks)),
        num_cpus=1,
    )
    for row in made.iter_rows():
        failure = json.loads(row["failure"])
        if failure:
            raise rebuilt(failure)
        yield ShardRecord(**json.loads(row["record"]))


def _row(record: Mapping[str, Any], failure: Mapping[str, str]) -> pa.Table:
    return pa.table({"record": [json.dumps(record)], "failure": [json.dumps(failure)]})


def _block(users: np.ndarray, shard: Shard) -> pa.Table:
    columns = {name: pa.repeat(value, len(users)) for name, value in dataclasses.asdict(shard).items()}
    return pa.table({"user": pa.array(users, pa.string()), **columns})
