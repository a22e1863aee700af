import dataclasses
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from raymm import artefacts
from raymm.errors import ArtefactError, ClusterError, ConfigError, DataError, SolverError
from raymm.transport.checkpoint import Checkpoint
from raymm.verbs.match import MatchRequest, match_files
from tests.verbs.matching import request

FAST = {"epsilon": 0.05, "omega": 0.0, "relation": "profile", "relaxation": 0.05}


def same_plan(one, other):
    """Equal up to the rounding of float32 sums: the plan to 1e-5, hence the lists but for ties."""
    for name in ("potentials_source.parquet", "potentials_target.parquet"):
        left, right = (pq.read_table(folder / name) for folder in (one, other))
        assert left["id"].equals(right["id"])
        np.testing.assert_allclose(left["potential"].to_numpy(), right["potential"].to_numpy(), atol=1e-6)
    assert pq.read_table(one / "blocks.parquet").equals(pq.read_table(other / "blocks.parquet"))
    sides = [pq.read_table(folder / "partners").to_pandas() for folder in (one, other)]
    both = sides[0].merge(sides[1], on=["source_id", "target_id"])
    assert len(both) > 0.99 * len(sides[0])
    np.testing.assert_allclose(both.weight_x, both.weight_y, atol=1e-4)
    np.testing.assert_allclose(both.mass_x, both.mass_y, atol=1e-7)


def test_settings_are_chosen_on_hidden_pairs_and_what_was_given_is_kept(tmp_path):
    told = []
    asked = dataclasses.replace(request(tmp_path), values=FAST)
    found = match_files(asked, lambda *words: told.append(words))
    assert {words[0] for words in told} >= {"trying settings on hidden pairs", "matching, exact", "writing"}
    assert found.quality["hidden_pairs"] == 30
    assert len(found.quality["plans"]) == 1
    assert {row["method"] for row in found.quality["baselines"]} >= {
        "random",
        "nearest by cosine",
        "nearest by profile",
    }
    best = max(row["hit_at_1"] for row in found.quality["plans"])
    assert best > 20 * found.quality["baselines"][0]["hit_at_1"]
    for name, value in FAST.items():
        assert found.record["settings"][name] == value
    artefacts.verify(found.folder, artefacts.read_manifest(found.folder, "matching", 2))
    listed = pq.read_table(found.folder / "partners").to_pandas()
    assert listed[listed["rank"] == 1].source_id.tolist() == [f"a{row}" for row in range(300)]
    assert (listed[listed.known].source_id.str[1:] == listed[listed.known].target_id.str[1:]).all()
    first = listed[(listed["rank"] == 1) & ~listed.known][:60]
    assert (first.source_id.str[1:] == first.target_id.str[1:]).mean() > 0.2  # 60 more users are shared
    assert not (tmp_path / "out" / ".matching" / "first").exists()
    assert (found.folder / "matching.svg").read_text().startswith("<?xml")


def test_the_same_again_is_read_and_anything_else_is_refused_before_any_work(tmp_path):
    asked = dataclasses.replace(request(tmp_path), values=FAST, choose=False)
    first = match_files(asked)
    again = match_files(asked, lambda *words: pytest.fail(f"worked on {words}"))
    assert again.reused
    assert again.record == first.record
    other = dataclasses.replace(asked, values={**FAST, "epsilon": 0.06})
    with pytest.raises(ArtefactError, match="other files or settings"):
        match_files(other)
    assert match_files(dataclasses.replace(other, force=True)).record["settings"]["epsilon"] == 0.06
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "note.txt").write_text("mine")
    with pytest.raises(ArtefactError, match="no matching"):
        match_files(dataclasses.replace(asked, output=tmp_path / "full"))


def test_too_few_pairs_keep_the_defaults_and_none_leave_the_distance(tmp_path):
    few = match_files(request(tmp_path, known=12))
    assert not few.quality
    assert "too few" in few.record["notes"][0]
    assert few.record["settings"]["relation"] == "profile"
    (tmp_path / "none").mkdir()
    none = match_files(request(tmp_path / "none", known=0))
    assert "distance alone" in none.record["notes"][0]
    assert (none.record["settings"]["omega"], none.record["settings"]["align"]) == (1.0, False)
    with pytest.raises(DataError, match="1 known pair"):
        match_files(request(tmp_path, known=1))


def test_marginals_that_were_given_are_not_chosen_away(tmp_path):
    asked = request(tmp_path)
    for values, ending in (({"marginals": "balanced"}, "balanced"), ({"marginals": "relaxed"}, "rho 0.05")):
        asked = dataclasses.replace(
            asked, values={"epsilon": 0.05, "omega": 1.0, "relaxation": 0.05, **values}, output=tmp_path / ending
        )
        found = match_files(asked)
        assert len(found.quality["plans"]) == 1
        assert found.quality["chosen"].endswith(ending)
        assert found.record["settings"]["marginals"] == values["marginals"]


def test_settings_out_of_range_are_refused(tmp_path):
    asked = request(tmp_path)
    for values in ({"epsilon": 0.0}, {"epsilno": 1.0}, {"partition": {"bound": "guess"}}):
        with pytest.raises(ConfigError):
            match_files(dataclasses.replace(asked, values=values))
    with pytest.raises(ConfigError, match="workers -1"):
        match_files(dataclasses.replace(asked, workers=-1))


def test_a_message_names_the_list_of_settings_of_a_matching(tmp_path):
    with pytest.raises(ConfigError) as caught:
        match_files(dataclasses.replace(request(tmp_path), values={"epsilno": 1.0}))
    assert "raymm settings match" in caught.value.remedy


def test_a_failure_leaves_nothing_where_nothing_was_kept(tmp_path):
    asked = request(tmp_path)
    with pytest.raises(SolverError, match="epsilon"):
        match_files(dataclasses.replace(asked, values={"epsilon": 1e-9}, choose=False))
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())
    match_files(dataclasses.replace(asked, values=FAST, choose=False))
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["first"]


def test_an_epsilon_that_float32_does_not_resolve_is_solved_in_float64(tmp_path):
    asked = dataclasses.replace(request(tmp_path, 80, 70, 20, 40), choose=False)
    tiny = {"epsilon": 1e-5, "relaxation": 0.05, "partition": {"max_iterations": 5, "max_rounds": 1}}
    with pytest.raises(SolverError, match="precision float64"):
        match_files(dataclasses.replace(asked, values=tiny))
    found = match_files(dataclasses.replace(asked, values={**tiny, "precision": "float64"}))
    assert found.record["settings"]["precision"] == "float64"


def test_a_device_that_is_not_there_is_refused(tmp_path):
    asked = request(tmp_path)
    for device in ("abacus", "cuda:99"):
        with pytest.raises(ClusterError, match=device):
            match_files(dataclasses.replace(asked, device=device))


MANY_PASSES = {"tolerance": 1e-6, "depth": 0, "max_iterations": 60, "max_rounds": 1}


def slowly(asked: MatchRequest) -> MatchRequest:
    values = {"epsilon": 0.03, "marginals": "balanced", "partition": MANY_PASSES}
    return dataclasses.replace(asked, values=values, choose=False)


@pytest.fixture(name="request_fixture")
def _request_fixture(request: pytest.FixtureRequest):
    """Bring a fixture up only where a case needs it; `request` is a matching here."""
    return request.getfixturevalue


@pytest.fixture
def one_thread():
    """Small blocks on more threads than free cores wait for each other far longer than they compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("workers", [0, pytest.param(2, marks=[pytest.mark.ray, pytest.mark.slow])])
def test_a_killed_matching_goes_on_to_the_same_result(tmp_path, workers, request_fixture):
    if workers:
        request_fixture("ray_cluster")
    asked = slowly(request(tmp_path, 1200, 1000))
    command = [sys.executable, "-m", "raymm.cli.main", "match", "--no-choose", "--source", str(asked.source)]
    command += ["--target", str(asked.target), "--anchors", str(asked.anchors), "--output", str(asked.output)]
    for name, value in {"epsilon": 0.03, "marginals": "balanced"}.items():
        command += ["--set", f"{name}={value}"]
    for name, value in MANY_PASSES.items():
        command += ["--set", f"partition.{name}={value}"]
    command += ["--workers", str(workers), "--address", "local"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, env=environment)
    states = tmp_path / "out" / ".matching" / "first"
    iteration = 0
    while iteration < 5 and process.poll() is None:
        time.sleep(0.02)
        for path in states.glob("*/state.npz"):
            saved = Checkpoint(path, path.parent.name).load()
            iteration = saved[1]["iteration"] if saved else 0
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert 5 <= iteration < 55, "the solve was to be killed in the middle"
    assert not asked.output.exists()

    told = []
    fewer = dataclasses.replace(asked, workers=workers // 2)
    resumed = match_files(fewer, lambda *words: told.append(words))
    passes = [words[1] for words in told if words[0].startswith("matching")]
    assert passes[0] > 5, "it was to go on where it stopped"
    whole = match_files(dataclasses.replace(asked, output=tmp_path / "whole"))
    assert resumed.record["report"]["iterations"] == whole.record["report"]["iterations"] == 60
    gaps = [found.record["report"]["relative_gap"] for found in (resumed, whole)]
    assert gaps[0] == pytest.approx(gaps[1], rel=1e-3)
    same_plan(resumed.folder, whole.folder)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_actors_match_as_one_process_does(tmp_path):
    asked = dataclasses.replace(request(tmp_path), values=FAST, choose=False)
    alone = match_files(asked)
    spread = match_files(dataclasses.replace(asked, output=tmp_path / "spread", workers=2))
    same_plan(alone.folder, spread.folder)
    assert alone.record["report"]["relative_gap"] == pytest.approx(spread.record["report"]["relative_gap"], abs=1e-5)
