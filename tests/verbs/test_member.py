"""A population of small trainings on a real Ray: who learns nothing goes on with what another one learned."""

import time

import pytest
import ray

from raymm import config
from raymm.experiment import build_experiment
from raymm.launch.space import Dimension
from raymm.launch.tune import ScheduleConfig
from raymm.report.sweep_record import Stage
from raymm.verbs.member import run_schedule, told_lineage
from raymm.verbs.run import open_run_folder
from raymm.verbs.trial import TrialPlace
from raymm.verbs.tune import SweepConfig, TuneRequest, tune

RATE = "train.optimizer.learning_rate"
START = config.override(
    {"model": "bprmf"},
    [
        "train.domain=arts",
        "train.loop.epochs=6",
        "scale.workers=1",
        "scale.engine=torch",
        "scale.cpus_per_worker=1.0",
        "settings.width=8",
    ],
)


class Silent:
    def step(self, title):
        """Nothing is shown."""

    def trial(self, trial, ledger):
        """Nothing is shown."""


def test_a_lineage_tells_what_the_weights_went_through():
    schedule = (Stage(0, {RATE: 0.1}), Stage(4, {RATE: 0.2}, "other"))
    records = [{"epoch": n, "validation": {"ndcg@10": n} if n % 2 == 0 else {}, "state": {"best": n}} for n in range(7)]
    told = told_lineage(schedule, records)
    assert tuple(Stage(**stage) for stage in told["schedule"]) == schedule
    assert told["curve"] == [[0, 0], [2, 2], [4, 4]]


@pytest.fixture(scope="module")
def populated(prepared_sample, tmp_path_factory):
    """Four trials, three at a time, of learning rates that are mostly too low to learn anything."""
    space = {RATE: Dimension("loguniform", (1e-7, 3e-2)), "settings.regularisation": Dimension("uniform", (0.0, 1e-4))}
    sweep = SweepConfig(4, search="grid", seed=1, schedule=ScheduleConfig("pbt", interval=2), finalists=1, seeds=1)
    folder = tmp_path_factory.mktemp("sweeps") / "population"
    request = TuneRequest({"bprmf": START}, {"bprmf": space}, sweep, prepared_sample, folder)
    return request, tune(request, None, Silent())


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_the_worst_adopt_weights_and_settings_and_count_on_from_there(populated):
    request, result = populated
    trials = {trial.name: trial for trial in result.record.models[0].searched}
    assert {trial.state for trial in trials.values()} == {"finished"}
    changed = [trial for trial in trials.values() if trial.schedule]
    assert changed
    for trial in changed:
        run = open_run_folder(request.folder / "trials" / trial.name)
        assert [record["epoch"] for record in run.history] == list(range(1, 7))
        assert run.experiment.train.optimizer.learning_rate == trial.values[RATE] == trial.schedule[-1].values[RATE]
        assert tuple(Stage(**stage) for stage in run.manifest.facts["schedule"]) == trial.schedule
        last = trial.schedule[-1]
        assert last.source in set(trials) - {trial.name}
        assert last.epoch % 2 == 0
        assert last.values != trial.schedule[-2].values
        donor = open_run_folder(request.folder / "trials" / last.source).history
        if not any(stage.epoch > last.epoch for stage in trials[last.source].schedule):
            assert run.history[: last.epoch] == donor[: last.epoch]
        assert run.history[last.epoch]["validation"] != donor[last.epoch]["validation"]
    assert not list((request.folder / "trials" / ".training").iterdir())
    patience = time.monotonic() + 60
    while ray.available_resources().get("CPU", 0) < 4 and time.monotonic() < patience:
        time.sleep(0.2)
    assert ray.available_resources()["CPU"] == 4


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_schedule_from_the_first_epoch_on_gives_what_the_population_found(populated, tmp_path):
    request, result = populated
    member = next(trial for trial in result.record.models[0].searched if trial.schedule)
    place = TrialPlace(build_experiment(START).plain(), request.prepared, tmp_path, "drawn")
    reports = []
    run_schedule(place, {"again": member.schedule}, "again", {**member.values, "train.seed": 0}, reports.append)
    again = open_run_folder(tmp_path / "again").history
    found = open_run_folder(request.folder / "trials" / member.name).history
    assert [record["epoch"] for record in again] == list(range(1, 7))
    for one, other in zip(again, found, strict=True):
        assert one["validation"] == pytest.approx(other["validation"], abs=1e-9)
    assert (reports[-1]["finished"], reports[-1]["value"]) == (True, pytest.approx(member.value, abs=1e-9))
    run_schedule(place, {"again": member.schedule}, "again", {"train.seed": 0}, reports.append)  # stands already
    assert reports[-1]["value"] == reports[-2]["value"]
