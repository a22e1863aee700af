"""Training on a real local Ray: any number of workers, killed workers, errors of workers."""

import os
import signal

import psutil
import pytest

from raymm import config
from raymm.data.prepared import open_prepared
from raymm.errors import ClusterError, ConfigError, DataError, TrainingError
from raymm.experiment import build_experiment
from raymm.launch.train import _claim, run_training

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]

SMALL = ("settings.width=16", "settings.transfer.warmup_epochs=1", "train.loop.epochs=6", "scale.checkpoint_every=2")


def _experiment(*changes):
    return build_experiment(config.override({}, [*SMALL, *changes]))


def _workers():
    return [
        process
        for process in psutil.Process().children(recursive=True)
        if any("RayTrainWorker" in part for part in process.cmdline())
    ]


def test_two_workers_of_which_one_is_killed_train_as_one_process_does(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    alone: list[dict] = []
    run_training(_experiment("scale.workers=0"), prepared, tmp_path / "alone", alone.append)
    records: list[dict] = []
    killed: list[int] = []

    def kill_once(record):
        records.append(record)
        if record["epoch"] == 3 and not killed:
            victim = _workers()[-1]
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    outcome = run_training(
        _experiment("scale.workers=2", "scale.checkpoint_steps=3"), prepared, tmp_path / "two", kill_once
    )
    epochs = [record["epoch"] for record in records]
    assert killed
    assert [record["epoch"] for record in alone] == [1, 2, 3, 4, 5, 6]
    again = epochs[epochs.index(3) + 1 :]
    assert sorted(set(epochs)) == [1, 2, 3, 4, 5, 6]
    assert len(epochs) - len(set(epochs)) <= 3, f"lost more than the work since the last checkpoint: {again}"
    by_epoch = {record["epoch"]: record for record in records}
    for expected in alone:
        assert by_epoch[expected["epoch"]]["losses"] == pytest.approx(expected["losses"], rel=1e-4)
        assert by_epoch[expected["epoch"]]["validation"] == pytest.approx(expected["validation"], abs=2e-3)
    assert "guidance" in alone[-1]["losses"]
    assert set(outcome.scorers) == {"arts", "office"}
    assert outcome.structure_facts["arts.fusion.converged"] == 1


@pytest.mark.parametrize(
    ("changes", "kind", "words"),
    [
        (("train.optimizer.learning_rate=1e30", "scale.max_failures=0"), TrainingError, "finite losses"),
        pytest.param(
            ("train.optimizer.learning_rate=1e30", "scale.max_failures=1"),
            TrainingError,
            "finite losses",
            marks=pytest.mark.slow,  # Ray Train starts all workers again
        ),
        (("settings.views.hyper_weight=0.5", "settings.hypergraph.clusters=9999"), DataError, "9999 clusters"),
    ],
)
def test_an_error_of_a_worker_is_shown_as_it_was_raised(changes, kind, words, prepared_sample, tmp_path):
    with pytest.raises(kind, match=words) as caught:
        run_training(_experiment(*changes), open_prepared(prepared_sample), tmp_path / "run", lambda _: None)
    assert caught.value.remedy


def test_checkpoints_of_another_experiment_are_not_taken(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    _claim(tmp_path, _experiment(), prepared, "drawn")
    _claim(tmp_path, _experiment("scale.workers=4"), prepared, "drawn")  # scale decides nothing
    with pytest.raises(ConfigError, match="another mathematics"):
        _claim(tmp_path, _experiment("train.seed=1"), prepared, "drawn")
    with pytest.raises(ConfigError, match="another known_pairs"):
        _claim(tmp_path, _experiment(), prepared, "none")


def test_more_workers_than_the_cluster_has_room_for_is_an_error(prepared_sample, tmp_path):
    changes = ("scale.workers=64", "scale.cpus_per_worker=1")
    with pytest.raises(ClusterError, match="64 workers"):
        run_training(_experiment(*changes), open_prepared(prepared_sample), tmp_path / "run", lambda _: None)


@pytest.mark.slow
def test_whole_populations_are_matched_beside_the_training_and_survive_a_killed_worker(prepared_sample, tmp_path):
    prepared = open_prepared(prepared_sample)
    population = ("settings.transfer.scope=population", "settings.transfer.refresh_epochs=1", "train.loop.epochs=5")
    alone: list[dict] = []
    run_training(
        _experiment(*population, "scale.workers=1", "scale.engine=torch"), prepared, tmp_path / "alone", alone.append
    )
    records: list[dict] = []
    killed: list[int] = []

    def kill_once(record):
        records.append(record)
        if record["epoch"] == 4 and not killed:
            victim = _workers()[-1]
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    run_training(_experiment(*population, "scale.workers=2"), prepared, tmp_path / "two", kill_once)
    assert killed
    by_epoch = {record["epoch"]: record for record in records}
    assert sorted(by_epoch) == [1, 2, 3, 4, 5]
    for expected in alone:
        assert by_epoch[expected["epoch"]]["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    observed = alone[-1]["diagnostics"]
    assert observed["population.reached"] == 1
    assert 0 <= observed["population.gap"] <= 0.01
    assert 0 < observed["population.listed_mass"] <= 1 + 1e-6
    assert observed["population.effective_partners"] >= 1
    assert [record["diagnostics"].get("population.age") for record in alone] == [None, 0, 1, 1, 1]
