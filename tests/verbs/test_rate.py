"""Models of ratings as runs: what they leave, and that an interrupted one goes on as if nothing had been."""

from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest
import torch

from raymm import artefacts
from raymm.data.prepared import open_prepared
from raymm.errors import ConfigError, DataError
from raymm.tracking.candidate import NEWCOMERS, RANKERS
from raymm.verbs import stages
from raymm.verbs.rate import STAGES, rating_task
from raymm.verbs.run import storage_folder
from raymm.verbs.train import TrainRequest, train
from tests.verbs.ratings import COMPAT, DEFAULT, experiment, made

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]


def test_a_run_holds_ratings_ranking_readers_and_an_artefact_of_each_stage(prepared_ratings, tmp_path) -> None:
    run = made("mimnet", prepared_ratings, tmp_path / "first", DEFAULT)
    assert run.domains == ("films",)
    assert {path.name for path in (run.folder / STAGES).iterdir()} == {"source", "target", "meta", "ranking"}
    for stage in (run.folder / STAGES).iterdir():
        artefacts.verify(stage, artefacts.read_manifest(stage, stages.KIND, stages.SCHEMA))
    assert (run.folder / RANKERS / "films").is_dir()
    assert (run.folder / NEWCOMERS / "films").is_dir()
    assert not storage_folder(run.folder).exists()
    assert [record["epoch"] for record in run.history] == list(range(1, len(run.history) + 1))
    held = open_prepared(prepared_ratings).rating_validation()[0]
    predicted = run.scorers()["films"].pairs(torch.from_numpy(held.users.copy()), torch.from_numpy(held.items.copy()))
    rmse = float(np.sqrt(np.mean((predicted.numpy() - held.ratings) ** 2)))
    assert run.history[-1]["validation"]["-rmse"] == pytest.approx(-rmse, rel=1e-6)
    assert run.manifest.facts["structure"]["bridge"] > 0
    assert run.manifest.facts["workers"] == 0


class _Killed(Exception):
    pass


@pytest.mark.parametrize("stage", ["source", "meta"])
def test_a_training_that_was_killed_goes_on_with_the_stage_it_was_in(prepared_ratings, tmp_path, stage) -> None:
    whole = made("mimnet", prepared_ratings, tmp_path / "whole", COMPAT, "compat")
    request = TrainRequest(experiment("mimnet", COMPAT, "compat"), prepared_ratings, tmp_path / "killed")

    def kill(record) -> None:
        if (record["stage"], record["stage_epoch"]) == (stage, 2):
            raise _Killed

    with pytest.raises(_Killed):
        train(request, None, kill)
    seen: list[str] = []
    run, _ = train(request, None, lambda record: seen.append(record["stage"]))
    assert seen[0] == stage
    assert "target" not in seen
    assert [{**record, "seconds": 0} for record in run.history] == [{**one, "seconds": 0} for one in whole.history]
    users = torch.arange(run.scorers()["films"].n_users)
    assert torch.equal(run.scorers()["films"].scores(users), whole.scorers()["films"].scores(users))
    assert sorted(path.name for path in (run.folder / "epochs").iterdir()) == ["001", "002", "003"]


def test_stages_of_other_settings_are_refused(prepared_ratings, tmp_path) -> None:
    def kill(record) -> None:
        if record["stage"] == "source":
            raise _Killed

    request = TrainRequest(experiment("emcdr", ("settings.pretrain.epochs=1",)), prepared_ratings, tmp_path / "run")
    with pytest.raises(_Killed):
        train(request, None, kill)
    other = dataclasses.replace(request, experiment=experiment("emcdr", ("settings.pretrain.epochs=2",)))
    with pytest.raises(ConfigError, match="other settings"):
        train(other, None, lambda _: None)


def test_a_split_without_cold_users_and_settings_without_meaning_are_refused(
    prepared_ratings, prepared_sample, tmp_path
) -> None:
    with pytest.raises(DataError, match="cold_start"):
        rating_task(open_prepared(prepared_sample), "drawn")
    with pytest.raises(DataError, match="both domains"):
        rating_task(open_prepared(prepared_ratings), "none")
    with pytest.raises(ConfigError, match=r"train.optimizer.learning_rate.*a model of ratings has no such"):
        experiment("mimnet", ("train.optimizer.learning_rate=0.5",))
    with pytest.raises(ConfigError, match=r"train.loop.selection.*-rmse"):
        experiment("mimnet", ("train.loop.selection=ndcg@20",))
    with pytest.raises(ConfigError, match="keep_epochs"):
        experiment("mimnet", ("settings.meta.keep_epochs=true",))


def test_ray_is_not_needed() -> None:
    import subprocess

    code = "import sys, raymm.verbs.rate; assert not {'ray', 'deepspeed'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
