"""Everybody's rankings equal those of a loop, whatever the scorer; a killed run goes on, and nothing is overwritten."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from raymm.errors import ArtefactError, ConfigError, DataError
from raymm.tracking.served import ServedDomain
from raymm.verbs.recommend import RecommendRequest, recommend
from tests.tracking.served import by_hand, write_model


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, ServedDomain]]:
    folder = tmp_path_factory.mktemp("served") / "model"
    return folder, {domain.name: domain for domain in write_model(folder)}


def rows(folder: Path, domain: str) -> list[tuple[object, ...]]:
    table = pd.concat([pq.read_table(path).to_pandas() for path in sorted((folder / domain).glob("part-*.parquet"))])
    assert set(table.pop("domain")) == {domain}
    return list(table.itertuples(index=False, name=None))


def test_all_users_of_all_domains_are_ranked_as_a_loop_does(served, tmp_path):
    model, domains = served
    told = []
    request = RecommendRequest(str(model), tmp_path / "out", k=7, workers=0, shard_users=25)
    found = recommend(request, None, lambda *words: told.append(words))
    assert found.facts["users"] == {"dot": 60, "item": 60, "sparse": 60}
    assert found.facts["unknown"] == {"dot": 0, "item": 0, "sparse": 0}
    assert (found.facts["shards"], found.facts["kept"]) == (9, 0)
    for name, domain in domains.items():
        expected = [row for user in domain.user_ids for row in by_hand(domain, user, 7, (), ())]
        assert rows(found.folder, name) == expected
        assert len(expected) == 60 * 7
    assert told[-2][:3] == ("ranking", 180, 180)
    assert not list((tmp_path / ".recommending").glob("[!.]*"))
    again = recommend(request, None)
    assert again.reused
    assert dict(again.facts) == dict(found.facts)


def test_listed_users_excluded_items_and_candidates(served, tmp_path):
    model, domains = served
    (tmp_path / "users.csv").write_text("user,domain\nuser 1,\nnobody,dot\nuser 3,item\nuser 1,dot\n")
    candidates = [f"{kind}-{number:03d}" for kind in ("dot", "item") for number in range(0, 40, 3)]
    (tmp_path / "candidates.txt").write_text("\n".join(candidates))
    pd.DataFrame({"item": ["dot-003", "item-000", "of nobody"]}).to_parquet(tmp_path / "exclude.parquet")
    request = RecommendRequest(
        str(model),
        tmp_path / "out",
        users=tmp_path / "users.csv",
        k=50,
        domains=("dot", "item"),
        exclude=tmp_path / "exclude.parquet",
        candidates=tmp_path / "candidates.txt",
        workers=0,
    )
    found = recommend(request, None)
    assert found.facts["unknown"] == {"dot": 1, "item": 0}
    for name, users in (("dot", ["user 1", "nobody"]), ("item", ["user 1", "user 3"])):
        expected = [
            row for user in users for row in by_hand(domains[name], user, 50, ["dot-003", "item-000"], candidates)
        ]
        assert rows(found.folder, name) == expected


def test_what_cannot_be_done_is_named_before_any_work(served, tmp_path):
    model, _ = served
    request = RecommendRequest(str(model), tmp_path / "out", workers=0)
    (tmp_path / "users.csv").write_text("user,domain\na,toys\n")
    (tmp_path / "strange.txt").write_text("no such item\n")
    for changes, kind, words in (
        ({"k": 0}, ConfigError, "k 0"),
        ({"workers": -1}, ConfigError, "workers -1"),
        ({"model": "models:/a@b"}, ConfigError, "registry"),
        ({"model": str(tmp_path)}, ArtefactError, "no manifest"),
        ({"domains": ("toys",)}, DataError, "'toys'"),
        ({"users": tmp_path / "users.csv"}, DataError, "'toys'"),
        ({"candidates": tmp_path / "strange.txt"}, DataError, "'no such item'"),
    ):
        with pytest.raises((kind, OSError), match=words):
            recommend(replace(request, **changes), None)
    assert not (tmp_path / "out").exists()
    recommend(request, None)
    with pytest.raises(ArtefactError, match="other wishes"):
        recommend(replace(request, k=3), None)
    assert recommend(replace(request, k=3, force=True), None).facts["rows"]["dot"] == 180


KILLED = """
import sys
from pathlib import Path
from raymm.verbs.recommend import RecommendRequest, recommend
model, out = sys.argv[1:]
recommend(RecommendRequest(model, Path(out), k=5, workers=0, shard_users=1), None)
"""


def test_a_killed_run_goes_on_and_nobody_else_may_write(tmp_path):
    write_model(tmp_path / "model", users=120)
    request = RecommendRequest(str(tmp_path / "model"), tmp_path / "out", k=5, workers=0, shard_users=1)
    command = [sys.executable, "-c", KILLED, request.model, str(request.output)]
    process = subprocess.Popen(command)
    try:
        deadline = time.monotonic() + 240
        while len(done := list((tmp_path / ".recommending").rglob("dot/.part-*.json"))) < 20:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        with pytest.raises(ArtefactError, match="another process"):
            recommend(request, None)
    finally:
        process.kill()
        process.wait()
    assert not request.output.exists()
    shards = [path.with_name(path.name[1:].removesuffix(".json")) for path in done]
    inodes = {path.name: path.stat().st_ino for path in shards}
    shards[3].write_bytes(b"damaged")
    resumed = recommend(request, None)
    assert 19 <= resumed.facts["kept"] < 360
    kept = {path.name: path.stat().st_ino for path in (request.output / "dot").iterdir()}
    assert sum(kept[name] == inode for name, inode in inodes.items()) >= 19
    whole = recommend(replace(request, output=tmp_path / "whole"), None)
    for name in ("dot", "item", "sparse"):
        assert rows(resumed.folder, name) == rows(whole.folder, name)
    shutil.rmtree(tmp_path / "whole")
