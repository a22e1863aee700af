"""Rankings for many users, shard by shard: each is a Parquet file that is written once, with its hash beside it."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from raymm.artefacts import hash_file
from raymm.errors import ArtefactError
from raymm.tracking.recommender import Recommender

SCHEMA = pa.schema(
    [
        pa.field("user", pa.string()),
        pa.field("domain", pa.string()),
        pa.field("rank", pa.int64()),
        pa.field("item", pa.string()),
        pa.field("score", pa.float32()),
        pa.field("known", pa.bool_()),
    ]
)

_ROWS = 1_000_000  # of a shard, at most, unless one user's ranking is longer


@dataclass(frozen=True)
class BatchWish:
    """What is wanted for every user.

    Attributes:
        k: Length of the rankings, from 1.
        exclude: External ids of items to leave out for everybody.
        candidates: Rank these items only; empty for all.
    """

    k: int
    exclude: tuple[str, ...] = ()
    candidates: tuple[str, ...] = ()


@dataclass(frozen=True)
class Shard:
    """A part of the work: some users of one domain, by their places in the list of that domain's users."""

    domain: str
    number: int
    start: int
    stop: int

    @property
    def file(self) -> str:
        """Where its rankings are written, below the folder of all of them."""
        return f"{self.domain}/part-{self.number:05d}.parquet"


@dataclass(frozen=True)
class ShardRecord:
    """What is known of a finished shard.

    Attributes:
        file: Where its rankings are.
        users: Users asked for.
        unknown: Users among them whom the model does not know, and who got what is popular.
        rows: Rows written.
        sha256: Hash of the file.
        seconds: How long it took.
        peak_bytes: Largest memory of the process that ranked, so far.
    """

    file: str
    users: int
    unknown: int
    rows: int
    sha256: str
    seconds: float
    peak_bytes: int


def plan_shards(users: Mapping[str, int], most_users: int, k: int) -> list[Shard]:
    """Cut the users of each domain into shards.

    Args:
        users: Domain to number of users.
        most_users: Users of a shard, at most; fewer where rankings are so long that memory would suffer.
        k: Length of the rankings, no larger than the number of items.
    """
    size = max(1, min(most_users, _ROWS // max(1, k)))
    return [
        Shard(domain, number, start, min(start + size, count))
        for domain, count in users.items()
        for number, start in enumerate(range(0, count, size))
    ]


def write_shard(
    recommender: Recommender, wish: BatchWish, users: Sequence[str], shard: Shard, folder: Path
) -> ShardRecord:
    """Rank for the users of a shard and write it; the file appears whole, its record after it.

    Args:
        recommender: The model.
        wish: What is wanted.
        users: The shard's users, by external id.
        shard: Which shard it is.
        folder: Folder of all shards, on storage that driver and workers share.

    Raises:
        DataError: The wish cannot be met.
    """
    start = time.perf_counter()
    requests = pd.DataFrame({"user": np.array(users, dtype=object)}).assign(domain=shard.domain)
    candidates = recommender.own_items(shard.domain, wish.candidates)
    answer = recommender.recommend(requests, wish.k, wish.exclude, candidates)
    if wish.candidates and not candidates:  # all of them are items of other domains
        answer = answer[:0]
    target = folder / shard.file
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.partial")
    pq.write_table(pa.Table.from_pandas(answer, SCHEMA, preserve_index=False), draft, compression="zstd")
    os.replace(draft, target)
    strangers = len(users) - int((recommender.places(shard.domain, users) >= 0).sum())
    seconds = time.perf_counter() - start
    record = ShardRecord(
        shard.file, len(users), strangers, len(answer), hash_file(target), seconds, peak_memory_bytes()
    )
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex[:8]}.json.partial")
    draft.write_text(json.dumps(asdict(record)) + "\n")
    os.replace(draft, _record_file(target))
    return record


def finished_shard(shard: Shard, folder: Path) -> ShardRecord | None:
    """Return the record of a shard that an earlier run finished; None if it is missing, or not as it was written."""
    target = folder / shard.file
    try:
        record = ShardRecord(**json.loads(_record_file(target).read_bytes()))
        whole = record.users == shard.stop - shard.start and hash_file(target) == record.sha256
    except (OSError, ValueError, TypeError):
        return None
    return record if whole else None


def collect_shards(records: Sequence[ShardRecord], source: Path, target: Path) -> None:
    """Put finished shards into another folder, as hard links where the storage can, else as copies.

    Raises:
        ArtefactError: A file is not as it was written.
    """
    for record in records:
        place = target / record.file
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(source / record.file, place)
        except OSError:
            place.write_bytes((source / record.file).read_bytes())
        if hash_file(place) != record.sha256:
            remedy = "run the same command again: this shard is made anew"
            raise ArtefactError("bytes that differ from those written", record.sha256, str(place), remedy)


def peak_memory_bytes() -> int:
    """Return the most memory that this process has held."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _record_file(target: Path) -> Path:
    return target.with_name(f".{target.name}.json")
