"""Ray Data makes the shards that one process makes, from what an earlier run left, and raises what a worker raises."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from raymm.artefacts import read_manifest
from raymm.errors import ArtefactError, ClusterError
from raymm.launch.recommend import rank_shards
from raymm.tracking.batch import BatchWish, plan_shards
from raymm.verbs.recommend import KIND, SCHEMA, RecommendRequest, recommend
from tests.tracking.served import write_model

pytestmark = pytest.mark.ray


def test_ray_writes_what_one_process_writes(ray_cluster: object, tmp_path: Path) -> None:
    domains = write_model(tmp_path / "model", users=300)
    one = RecommendRequest(str(tmp_path / "model"), tmp_path / "one", k=6, workers=0, shard_users=70)
    many = replace(one, output=tmp_path / "many", workers=2)
    told: list[tuple[str, int, int, str]] = []
    recommend(one, None)
    found = recommend(many, None, lambda *words: told.append(words))
    files = read_manifest(tmp_path / "one", KIND, SCHEMA).files
    assert len(files) == 3 * 5
    assert read_manifest(tmp_path / "many", KIND, SCHEMA).files == files
    assert found.facts["users_per_second"] > 0
    assert found.facts["worker_peak_bytes"] > 50_000_000
    assert told[-2][:3] == ("ranking", 900, 900)

    users = {domain.name: domain.user_ids for domain in domains}
    shards = plan_shards({"dot": 300}, 70, 6)
    (tmp_path / "model" / "domains" / "dot" / "users.parquet").write_bytes(b"")
    with pytest.raises(ArtefactError, match="changed"):
        list(rank_shards(tmp_path / "model", BatchWish(6), users, shards, tmp_path / "shards", 1))
    with pytest.raises(ClusterError, match="lower --workers"):
        list(rank_shards(tmp_path / "model", BatchWish(6), users, shards, tmp_path / "shards", 10_000))
    shutil.rmtree(tmp_path / "many")
