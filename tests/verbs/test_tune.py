"""Small sweeps on a real Ray and in a real MLflow."""

import dataclasses
import json
import time

import pytest
import ray

from raymm import config
from raymm.errors import ConfigError, DataError
from raymm.experiment import build_experiment
from raymm.launch.space import Dimension
from raymm.launch.tune import ScheduleConfig
from raymm.tracking.store import open_tracking
from raymm.verbs.ledger import Ledger
from raymm.verbs.ownership import owned
from raymm.verbs.run import open_run_folder
from raymm.verbs.tune import LEDGER, SweepConfig, TuneRequest, tune

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

NEIGHBOURS = {
    "settings.neighbours": Dimension("choice", (5, 20)),
    "settings.shrinkage": Dimension("choice", (0.0, 10.0)),
}


class Silent:
    def __init__(self):
        self.seen = []

    def step(self, title):
        self.seen.append(title)

    def trial(self, trial, ledger):
        self.seen.append((trial.name, trial.state))


def _knn(prepared, folder, **changes):
    sweep = SweepConfig(trials=3, search="grid", finalists=2, seeds=2)
    spaces = {"item_knn": NEIGHBOURS}
    request = TuneRequest({"item_knn": {"model": "item_knn"}}, spaces, sweep, prepared, folder)
    return dataclasses.replace(request, **changes)


def _runs(tracking):
    def look(client):
        return client.search_runs([client.get_experiment_by_name("raymm").experiment_id])

    return tracking.reach("looking", look)


@pytest.fixture(scope="module")
def swept(prepared_sample, tmp_path_factory):
    """A sweep of three trials, then of the fourth, in the same folder."""
    base = tmp_path_factory.mktemp("sweeps")
    tracking, request = open_tracking(None, base), _knn(prepared_sample, base / "first")
    results = [tune(request, tracking, Silent())]
    more = dataclasses.replace(request, sweep=dataclasses.replace(request.sweep, trials=4))
    results.append(tune(more, tracking, Silent()))
    return request, more, results, tracking


def test_a_sweep_goes_on_without_doing_anything_twice(swept):
    request, more, (first, second), _ = swept
    assert [len(result.record.models[0].searched) for result in (first, second)] == [3, 4]
    trials = Ledger(request.folder / LEDGER).trials
    assert len(trials) == 4  # a closed form has no seeds to repeat
    assert [trial.attempts for trial in trials] == [1] * 4
    assert {json.dumps(dict(trial.values)) for trial in trials} == {
        json.dumps({"settings.neighbours": n, "settings.shrinkage": s}) for n in (5, 20) for s in (0.0, 10.0)
    }
    audience = Silent()
    tune(more, None, audience)
    assert audience.seen == []


def test_the_best_settings_train_to_the_value_that_chose_them(swept):
    request, _, (_, result), _ = swept
    best = build_experiment(config.read_toml(result.best["item_knn"]))
    winner = result.record.models[0].winner
    assert config.flatten(best.plain())["settings.neighbours"] == winner.values["settings.neighbours"]
    run = open_run_folder(request.folder / "trials" / winner.trial)
    assert run.experiment.mathematics() == best.mathematics()
    values = {trial.name: trial.value for trial in result.record.models[0].searched}
    assert run.history[0]["validation"]["ndcg@10"] == winner.mean == max(values.values())


def test_mlflow_has_one_parent_and_one_child_a_trial_after_a_restart(swept):
    request, _, _, tracking = swept
    runs = _runs(tracking)
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert [run.info.run_name for run in parents] == ["first"]
    assert sorted(run.info.run_name for run in children) == [f"item_knn-{number:03d}" for number in range(4)]
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {parents[0].info.run_id}
    fingerprint = json.loads((request.folder / "request.json").read_text())["data"]
    for run in children:
        assert run.info.status == "FINISHED"
        assert run.data.tags["raymm.data_fingerprint"] == fingerprint
        assert run.data.tags["raymm.sweep"] == "first"
        assert run.data.metrics["validation.ndcg_at_10"] == run.data.metrics["best_value"]
        assert "settings.neighbours" in run.data.params
    names = tracking.reach("looking", lambda client: client.list_artifacts(parents[0].info.run_id))
    assert {"sweep.html", "sweep.json", "best_item_knn.toml"} <= {name.path for name in names}


def test_another_sweep_of_the_name_and_a_second_driver_are_refused(swept):
    request, *_ = swept
    other = dataclasses.replace(request, known_pairs="none")
    with pytest.raises(ConfigError, match="other known_pairs"):
        tune(other, None, Silent())
    with owned(request.folder), pytest.raises(ConfigError, match="one driver at a time"):
        tune(request, None, Silent())


def test_failed_trials_are_counted_and_never_chosen(prepared_sample, tmp_path):
    space = {"train.loop.selection": Dimension("choice", ("ndcg@10", "ndcg@7"))}
    request = _knn(prepared_sample, tmp_path / "half", spaces={"item_knn": space})
    result = tune(request, None, Silent()).record.models[0]
    assert [trial.state for trial in sorted(result.searched, key=str)].count("failed") == 1
    failed = next(trial for trial in result.searched if trial.state == "failed")
    assert failed.value is None
    assert "no ndcg@7 on validation" in failed.reason
    assert failed.name not in {finalist.trial for finalist in result.finalists}
    assert "no ndcg@7 on validation" in (tmp_path / "half" / "sweep.html").read_text()


def test_what_cannot_work_is_refused_before_any_trial(prepared_sample, tmp_path):
    for space, words in (
        ({"settings.width": Dimension("choice", (1, 2))}, "unknown setting"),
        ({"settings.neighbours": Dimension("choice", (1, -2))}, "at least 1"),
    ):
        with pytest.raises(ConfigError, match=words):
            tune(_knn(prepared_sample, tmp_path / "x", spaces={"item_knn": space}), None, Silent())
    light = {"lightgcn": {"model": "lightgcn"}}
    space = {"lightgcn": {"settings.width": Dimension("choice", (8, 16))}}
    with pytest.raises(DataError, match="2 domains"):
        tune(_knn(prepared_sample, tmp_path / "x", values=light, spaces=space), None, Silent())
    assert not (tmp_path / "x" / LEDGER).exists()


@pytest.mark.parametrize("workers", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_trainings_are_stopped_early_repeated_with_other_seeds_and_give_their_cpus_back(
    workers, prepared_sample, tmp_path
):
    one = ["train.domain=arts", "train.loop.epochs=4", f"scale.workers={workers}", "settings.width=8"]
    start = config.override({"model": "bprmf"}, [*one, "scale.engine=torch"])
    space = {"train.optimizer.learning_rate": Dimension("choice", (1e-2, 1e-6, 1e-5))}
    sweep = SweepConfig(3, search="grid", schedule=ScheduleConfig("asha", 1, 2), finalists=1, seeds=2, concurrent=1)
    request = TuneRequest({"bprmf": start}, {"bprmf": space}, sweep, prepared_sample, tmp_path / "s")
    before = ray.cluster_resources()["CPU"]
    result = tune(request, None, Silent()).record.models[0]
    good, *bad = result.searched
    assert (good.state, good.epochs) == ("finished", 4)
    assert [trial.state for trial in bad] == ["stopped", "stopped"]  # the second one maybe in the first one's process
    assert max(trial.epochs for trial in bad) < 4
    assert list(result.winner.seeds) == ["0", "1"]
    assert result.winner.trial == good.name
    assert open_run_folder(tmp_path / "s" / "trials" / f"{good.name}-seed1").experiment.train.seed == 1
    assert not any((tmp_path / "s" / "trials" / trial.name).exists() for trial in bad)
    patience = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < before and time.monotonic() < patience:
        time.sleep(0.2)
    assert ray.available_resources()["CPU"] >= before
