"""Trials on a real Ray Tune; the work is small, and defined inside functions, so that it travels to workers whole."""

import time
from dataclasses import replace

import pytest
import ray

from raymm.errors import ClusterError, DataError
from raymm.experiment import ScaleConfig
from raymm.launch.search import Past, Sequential, Trial, Trials, listed
from raymm.launch.tune import (
    Round,
    ScheduleConfig,
    concurrency,
    cpus_wanted,
    make_scheduler,
    own_resources,
    run_round,
)


def _report(value, epoch, finished=False):
    return {"value": value, "best_epoch": epoch, "epoch": epoch, "finished": finished, "records": []}


def _work():
    """Hold a CPU of the cluster beside the trial's process, as a training does, and report ten epochs."""
    make = _report

    class Holder:
        def ready(self):
            return True

    def work(name, values, report):
        if values["rate"] > 0.9:
            raise DataError("a bad rate", "a good one", "rate")
        holder = ray.remote(Holder).options(num_cpus=1, scheduling_strategy="DEFAULT").remote()
        assert ray.get(holder.ready.remote())
        for epoch in range(1, 10):
            report(make(values["rate"] + epoch / 1000, epoch))
        report(make(values["rate"] + 0.01, 10, finished=True))

    return work


@pytest.mark.ray
@pytest.mark.timeout(300)
@pytest.mark.slow
def test_trials_end_as_they_should_and_give_their_cpus_back(ray_cluster, tmp_path):
    values = [{"rate": rate} for rate in (0.8, 0.7, 0.95, 0.1, 0.2, 0.85)]
    trials = Trials(Sequential(iter(values)), [], 6, lambda number: f"t{number}", ())
    scheduler = make_scheduler(ScheduleConfig("asha", grace_epochs=2, reduction=2), 10, ())
    before, events = ray.cluster_resources()["CPU"], []
    run_round(Round(_work(), tmp_path, trials, scheduler, concurrent=1), events.append)
    ends = {event.name: event for event in events if event.kind not in ("started", "reported")}
    assert {name: event.kind for name, event in ends.items()} == {
        "t0": "finished",
        "t1": "stopped",
        "t2": "failed",
        "t3": "stopped",
        "t4": "stopped",
        "t5": "finished",
    }
    assert ends["t2"].reason == "DataError: a bad rate; expected a good one (rate)"
    assert "value" not in ends["t2"].result
    assert ends["t1"].result["epoch"] == 2
    assert [event.result["epoch"] for event in events if event.name == "t0" and event.kind == "reported"] == [
        *range(1, 11)
    ]
    patience = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) < before and time.monotonic() < patience:
        time.sleep(0.2)
    assert ray.available_resources()["CPU"] >= before


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(300)
def test_what_runs_when_the_time_is_up_is_stopped_with_what_it_had(ray_cluster, tmp_path):
    def work(name, values, report):
        report(make(0.5, 1))
        time.sleep(600)

    make, events = _report, []
    trials = Trials(Sequential([{"rate": 0.1}, {"rate": 0.2}]), [], 2, lambda number: f"t{number}", ())
    run_round(Round(work, tmp_path, trials, make_scheduler(ScheduleConfig("fifo"), 1, ()), 1, 20.0), events.append)
    assert (events[-1].name, events[-1].kind) == ("t0", "stopped")
    assert all(event.name == "t0" for event in events)


@pytest.mark.ray
def test_what_goes_wrong_in_a_listener_ends_the_round_as_it_was_raised(ray_cluster, tmp_path):
    def listen(event):
        raise DataError("no room on the disk")

    scheduler = make_scheduler(ScheduleConfig("fifo"), 1, ())
    with pytest.raises(DataError, match="no room on the disk"):
        run_round(Round(_work(), tmp_path, listed([Trial("x", {"rate": 0.5})]), scheduler, 1), listen)


def test_hyperband_spares_some_trials_the_first_rung():
    verdicts = []
    for number in range(40):
        scheduler = make_scheduler(
            ScheduleConfig("hyperband", 1, 2), 8, [Past(Trial(f"t{n}", {}), 0.9, ((1, 0.9),)) for n in range(30)]
        )
        trial = type("Stand", (), {"trial_id": f"new{number}"})()
        scheduler.on_trial_add(None, trial)
        verdicts.append(scheduler.on_trial_result(None, trial, {"epoch": 1, "value": 0.1}))
    assert {"CONTINUE", "STOP"} == set(verdicts)


def test_asha_compares_with_trials_of_before():
    past = [Past(Trial(f"t{n}", {}), n / 10, tuple((epoch, n / 10) for epoch in range(1, 10))) for n in range(1, 6)]
    config = ScheduleConfig("asha", grace_epochs=3, reduction=2)
    verdicts = []
    for known in ((), past):
        scheduler = make_scheduler(config, 9, known)
        trial = type("Stand", (), {"trial_id": "new"})()
        scheduler.on_trial_add(None, trial)
        verdicts.append(scheduler.on_trial_result(None, trial, {"epoch": 3, "value": 0.2}))
    assert verdicts == ["CONTINUE", "STOP"]


@pytest.mark.ray
def test_as_many_trials_as_leave_one_cpu(ray_cluster):
    have = int(ray.cluster_resources()["CPU"])
    one = ScaleConfig(workers=1, cpus_per_worker=1.0)
    assert concurrency(one, 0) == have - 1
    assert concurrency(ScaleConfig(workers=have - 1, cpus_per_worker=1.0), 0) == 1
    assert concurrency(one, 1) == 1
    with pytest.raises(ClusterError, match="1 CPU for each of 99 trials"):
        concurrency(one, 99)
    with pytest.raises(ClusterError):
        concurrency(ScaleConfig(workers=have, cpus_per_worker=1.0), 0)
    assert cpus_wanted(ScaleConfig(workers=2, cpus_per_worker=0.5), 3) == 4


def test_a_trial_that_trains_itself_takes_what_its_worker_would():
    alone = ScaleConfig(workers=0, cpus_per_worker=2.0)
    assert own_resources(alone) == {"CPU": 2.0}
    assert own_resources(replace(alone, device="cuda")) == {"CPU": 2.0, "GPU": 1.0}
    assert own_resources(ScaleConfig(workers=1, cpus_per_worker=2.0)) == {}
    assert cpus_wanted(alone, 3) == cpus_wanted(ScaleConfig(workers=1, cpus_per_worker=2.0), 3)
