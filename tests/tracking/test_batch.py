"""Shards are written once, and made again where they are not as they were written."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from raymm.artefacts import hash_file
from raymm.errors import ArtefactError
from raymm.tracking.batch import (
    SCHEMA,
    BatchWish,
    Shard,
    collect_shards,
    finished_shard,
    plan_shards,
    write_shard,
)
from raymm.tracking.recommender import Recommender
from tests.tracking.served import by_hand, write_model


def test_a_plan_holds_every_user_once_and_no_shard_is_too_large() -> None:
    plan = plan_shards({"a": 23, "b": 0, "c": 10}, 10, 5)
    assert [(shard.file, shard.start, shard.stop) for shard in plan] == [
        ("a/part-00000.parquet", 0, 10),
        ("a/part-00001.parquet", 10, 20),
        ("a/part-00002.parquet", 20, 23),
        ("c/part-00000.parquet", 0, 10),
    ]
    assert max(shard.stop - shard.start for shard in plan_shards({"a": 5000}, 5000, 1000)) == 1000
    assert len(plan_shards({"a": 3}, 5000, 10**9)) == 3


def test_a_shard_is_kept_until_it_is_not_as_it_was_written(tmp_path: Path) -> None:
    domains = write_model(tmp_path / "model")
    recommender, shard = Recommender(domains), Shard("sparse", 0, 0, 4)
    users = ["nobody", "sparse user 0", "user 1", "user 3"]
    assert finished_shard(shard, tmp_path / "shards") is None
    record = write_shard(recommender, BatchWish(3), users, shard, tmp_path / "shards")
    assert (record.users, record.unknown, record.rows) == (4, 1, 12)
    assert record.peak_bytes > 10_000_000
    assert finished_shard(shard, tmp_path / "shards") == record
    assert finished_shard(Shard("sparse", 0, 0, 5), tmp_path / "shards") is None
    other = BatchWish(3, candidates=("dot-001",))
    assert write_shard(recommender, other, users, Shard("sparse", 1, 0, 4), tmp_path / "others").rows == 0
    path = tmp_path / "shards" / record.file
    table = pq.read_table(path)
    assert table.schema.equals(SCHEMA)
    rows = table.drop_columns("domain").to_pylist()
    expected = [row for user in users for row in by_hand(domains[2], user, 3, (), ())]
    assert [tuple(row.values()) for row in rows] == expected
    assert {item.name for item in path.parent.iterdir()} == {"part-00000.parquet", ".part-00000.parquet.json"}
    collect_shards([record], tmp_path / "shards", tmp_path / "whole")
    assert hash_file(tmp_path / "whole" / record.file) == record.sha256
    (tmp_path / "whole" / record.file).unlink()
    path.write_bytes(path.read_bytes()[:-1])
    assert finished_shard(shard, tmp_path / "shards") is None
    with pytest.raises(ArtefactError, match="differ"):
        collect_shards([record], tmp_path / "shards", tmp_path / "other")
