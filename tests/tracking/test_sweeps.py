import json
import time
from dataclasses import replace

import pytest

from raymm.report.sweep_record import ModelSweep, Stage, SweepRecord, TrialRecord
from raymm.tracking.store import TrackingConfig, open_tracking
from raymm.tracking.sweeps import tracked_sweep

METHOD = {"models": "toy", "search": "random"}


def _record(epoch, value):
    return {
        "epoch": epoch,
        "losses": {"bpr": 1.0 / epoch},
        "validation": {"ndcg@10": value},
        "diagnostics": {},
        "seconds": {"train": 0.5},
    }


def _sweep(tracking, folder, end=True):
    """What a driver tells: two trials, the second failed; the first reports all its epochs again at its end."""
    first = TrialRecord("toy-000", "toy", 0, {"settings.width": 4})
    second = TrialRecord("toy-001", "toy", 0, {"settings.width": 8})
    with tracked_sweep(tracking, folder, "f" * 16, METHOD) as tracker:
        tracker.started(first, {"model": "toy", "settings": {"width": 4}})
        tracker.epochs("toy-000", [_record(1, 0.1)])
        if end:
            tracker.epochs("toy-000", [_record(1, 0.1), _record(2, 0.2)])
            tracker.ended(replace(first, state="finished", value=0.2, best_epoch=2))
            tracker.started(second, {"model": "toy", "settings": {"width": 8}})
            tracker.ended(replace(second, state="failed", reason="DataError: none"))
            trials = (replace(first, state="finished", value=0.2), replace(second, state="failed"))
            page = folder / "sweep.html"
            page.write_text("page")
            tracker.finish(
                SweepRecord("s", "ndcg@10", "toy", "f" * 16, 0.0, 1, (ModelSweep("toy", trials),), METHOD), [page]
            )
    return tracker


def _runs(tracking, name):
    def look(client):
        found = client.search_runs(
            [client.get_experiment_by_name("sweeps").experiment_id], f"tags.`raymm.sweep` = '{name}'"
        )
        return {run.info.run_name: run for run in found}, len(found)

    runs, number = tracking.reach("looking", look)
    assert len(runs) == number
    return runs


def test_a_driver_that_was_killed_leaves_one_run_a_trial(store_folder, tmp_path):
    tracking = open_tracking(None, store_folder, TrackingConfig(experiment="sweeps"))
    _sweep(tracking, tmp_path / "one", end=False)
    tracker = _sweep(tracking, tmp_path / "one")
    assert tracker.problem is None
    runs = _runs(tracking, "one")
    assert set(runs) == {"one", "toy-000", "toy-001"}
    parent = runs["one"]
    for name in ("toy-000", "toy-001"):
        assert runs[name].data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert runs[name].data.tags["raymm.data_fingerprint"] == "f" * 16
    assert (parent.info.status, runs["toy-000"].info.status, runs["toy-001"].info.status) == (
        "FINISHED",
        "FINISHED",
        "FAILED",
    )
    assert runs["toy-001"].data.tags["raymm.reason"] == "DataError: none"
    assert runs["toy-000"].data.params["settings.width"] == "4"
    assert parent.data.metrics["toy.failed"] == 1
    run_id = runs["toy-000"].info.run_id
    history = tracking.reach("looking", lambda client: client.get_metric_history(run_id, "validation.ndcg_at_10"))
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.1), (2, 0.2)]
    files = tracking.reach("looking", lambda client: client.list_artifacts(parent.info.run_id))
    assert [file.path for file in files] == ["sweep.html"]


def test_a_server_that_is_away_holds_up_nothing_and_gets_it_all_later(store_folder, tmp_path):
    away = open_tracking("http://127.0.0.1:9", tmp_path, TrackingConfig(experiment="sweeps", retry_after_s=0))
    tracker = _sweep(away, tmp_path / "two", end=False)
    assert tracker.problem is not None
    tracking = open_tracking(None, store_folder, TrackingConfig(experiment="sweeps"))
    assert _sweep(tracking, tmp_path / "two").problem is None
    runs = _runs(tracking, "two")
    assert runs["toy-000"].data.tags["mlflow.parentRunId"] == runs["two"].info.run_id
    assert not list((tmp_path / "two").rglob("*spool*"))


def test_without_a_store_nothing_is_written(tmp_path):
    with tracked_sweep(None, tmp_path / "three", "f" * 16, METHOD) as tracker:
        tracker.epochs("toy-000", [_record(1, 0.1)])
    assert not list(tmp_path.iterdir())


def test_an_interrupted_sweep_says_so_and_the_machine_is_sampled(store_folder, tmp_path):
    tracking = open_tracking(None, store_folder, TrackingConfig(experiment="sweeps"))

    def interrupted():
        with tracked_sweep(tracking, tmp_path / "four", "f" * 16, METHOD, sample_every_s=0.2) as tracker:
            tracker.started(TrialRecord("toy-000", "toy", 0, {}), {"model": "toy"})
            time.sleep(1.5)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    runs = _runs(tracking, "four")
    assert {run.info.status for run in runs.values()} == {"KILLED"}
    assert "system/cpu_utilization_percentage" in runs["four"].data.metrics


def test_settings_that_change_are_logged_beside_the_first_ones(store_folder, tmp_path):
    tracking = open_tracking(None, store_folder, TrackingConfig(experiment="sweeps"))
    trial = TrialRecord("toy-000", "toy", 0, {"settings.rate": 0.5})
    schedule = (Stage(0, {"settings.rate": 0.25}), Stage(4, {"settings.rate": 0.3}, "toy-001"))
    with tracked_sweep(tracking, tmp_path / "changing", "f" * 16, METHOD) as tracker:
        tracker.started(trial, {"settings": {"rate": 0.5}})
        tracker.changed(replace(trial, values={"settings.rate": 0.3}, schedule=schedule), {"settings": {"rate": 0.3}})
    run = _runs(tracking, "changing")["toy-000"]
    assert run.data.params["settings.rate"] == "0.5"
    assert run.data.tags["raymm.changed.settings.rate"] == "0.3"
    assert [stage["epoch"] for stage in json.loads(run.data.tags["raymm.schedule"])] == [0, 4]
    assert run.data.metrics["schedule.settings.rate"] == 0.3
