"""Interactions from Ray Data to the ranks: each row is read once, and every rank can prove that none is missing."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train import DataConfig

from raymm.data.prepared import PreparedSet
from raymm.data.sampling import Positives
from raymm.errors import ConfigError, DataError

_COLUMNS = ["user", "item", "row"]
_ROW_BYTES = 56  # while rows are collected: 24 read, 24 gathered, 8 for their order; 32 for as long as training goes on


class WholeShards(DataConfig):  # type: ignore[misc]
    """Ray Train's sharding without its trimming: by default it drops rows until all ranks have equally many."""

    def configure(
        self,
        datasets: dict[str, Any],
        world_size: int,
        worker_handles: Any,  # noqa: ARG002 - Ray's signature
        worker_node_ids: Any,
        **_: Any,
    ) -> list[dict[str, Any]]:
        """Split every dataset into one shard a worker; see Ray's `DataConfig.configure`."""
        shards: list[dict[str, Any]] = [{} for _ in range(world_size)]
        for name, dataset in datasets.items():
            dataset = copy.copy(dataset)
            for worker, shard in enumerate(
                dataset.streaming_split(world_size, equal=False, locality_hints=worker_node_ids)
            ):
                shards[worker][name] = shard
        return shards


def training_dataset(prepared: PreparedSet, domain: str) -> Any:
    """Open one domain's training interactions as a Ray dataset of the columns user, item and row."""
    paths = [str(path) for path in prepared.train_files(domain)]
    return ray.data.read_parquet(paths, columns=_COLUMNS)


def check_memory(prepared: PreparedSet, budget_gib: float) -> None:
    """Refuse what would not fit before any worker starts.

    Args:
        prepared: The data, as the run sees them.
        budget_gib: `scale.rows_gib`.

    Raises:
        ConfigError: The training rows of all domains take more than that.
    """
    rows = sum(facts.n_train for facts in prepared.domains)
    need = rows * _ROW_BYTES / 2**30
    if need > budget_gib:
        raise ConfigError(
            f"{rows:,} training rows, {need:.3g} GiB in each worker",
            f"at most {budget_gib:g} GiB",
            "scale.rows_gib",
            "raise it where the nodes have the memory, or train on fewer rows (cleaning.core_users, train.domain)",
        )


def read_positives(prepared: PreparedSet) -> tuple[Positives, ...]:
    """Collect every domain's rows on this rank, from its own Ray Data shard and those of the other ranks.

    Every rank ends with all rows in canonical order (column-parallel ranks need the same rows, and a global shuffle
    may send any row to any data-parallel rank); each row was read from storage by one rank only. It takes 24 bytes a
    row while it runs and 16 after.

    Raises:
        DataError: A row is missing or came twice.
    """
    return tuple(_collected(facts.name, facts.n_train, facts.n_items, prepared.folder) for facts in prepared.domains)


def _collected(domain: str, n_rows: int, n_items: int, folder: Path) -> Positives:
    shard = ray.train.get_dataset_shard(domain)
    blocks = [
        np.stack([batch[name].astype(np.int64) for name in _COLUMNS], axis=1)
        for batch in shard.iter_batches(batch_size=None, batch_format="numpy")
    ]
    own = np.concatenate(blocks) if blocks else np.empty((0, len(_COLUMNS)), np.int64)
    rows = np.concatenate(gather_ragged(own))
    order = np.argsort(rows[:, 2], kind="stable")
    rows = rows[order]
    if not np.array_equal(rows[:, 2], np.arange(n_rows)):
        raise DataError(
            f"{len(rows)} rows, {len(np.unique(rows[:, 2]))} different",
            f"each of {n_rows} rows once",
            f"{folder}, domain {domain!r}",
            "prepare the data set anew",
        )
    return Positives(np.ascontiguousarray(rows[:, 0]), np.ascontiguousarray(rows[:, 1]), n_items)


def gather_ragged(own: np.ndarray) -> Sequence[np.ndarray]:
    """Gather int64 arrays of equal width and any number of rows from all ranks, in order of rank; collective."""
    if not dist.is_initialized() or dist.get_world_size() == 1:
        return [own]
    device = torch.device("cuda") if dist.get_backend() == "nccl" else torch.device("cpu")
    counts = [torch.zeros(1, dtype=torch.int64, device=device) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, torch.tensor([len(own)], device=device))
    most = max(int(count) for count in counts)
    padded = torch.zeros(most, own.shape[1], dtype=torch.int64, device=device)
    padded[: len(own)] = torch.from_numpy(own)
    parts = [torch.empty_like(padded) for _ in counts]
    dist.all_gather(parts, padded)
    return [part[: int(count)].cpu().numpy() for part, count in zip(parts, counts, strict=True)]
