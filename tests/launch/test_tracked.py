"""The callback in a real Ray Train run, and a real MLflow."""

import pytest
import ray.train
from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from raymm.launch.tracked import MlflowCallback, finish_tracked
from raymm.tracking.identity import read_identity
from raymm.tracking.store import open_tracking


def test_steps_are_logged_once_in_one_run_whatever_happens(tmp_path):
    """Called as Ray Train calls it: a failure in the middle, a restart that repeats a step, a driver started anew."""
    folder = tmp_path / "run"
    first = MlflowCallback(folder, "mine", params={"optimizer": {"rate": 0.1}}, tags={"who": "me"})
    first.after_report(None, [{"epoch": 1, "loss": 0.5, "note": "text", "ok": True}, {"epoch": 1, "loss": 9.0}], None)
    first.after_exception(None, {3: ValueError("a worker died")})
    first.after_report(None, [{"epoch": 1, "loss": 0.5}], None)
    again = MlflowCallback(folder, "mine", params={"optimizer": {"rate": 0.1}})
    again.after_report(None, [{"epoch": 2, "loss": 0.25}], None)
    finish_tracked(folder)
    tracking, identity = open_tracking(None, tmp_path), read_identity(folder)

    def look(client):
        experiment = client.get_experiment_by_name("raymm").experiment_id
        return client.search_runs([experiment]), client.get_metric_history(identity.run_id, "loss")

    (run,), history = tracking.reach("looking", look)
    assert [(metric.step, metric.value) for metric in history] == [(1, 0.5), (2, 0.25)]
    assert run.info.status == "FINISHED"
    assert run.data.params == {"optimizer.rate": "0.1"}
    assert run.data.tags["who"] == "me"
    assert run.data.tags["raymm.failure"] == "worker 3: a worker died"
    assert "note" not in run.data.metrics
    assert "ok" not in run.data.metrics


def test_an_address_with_a_password_is_shown_nowhere(tmp_path):
    callback = MlflowCallback(tmp_path / "run", "mine", uri="http://me:secret-word@127.0.0.1:9")
    callback.after_report(None, [{"loss": 1.0}], None)  # nobody answers there, and nothing is held up
    written = [path.read_text(errors="replace") for path in tmp_path.rglob("*") if path.is_file()]
    assert written
    assert not any("secret-word" in text for text in [*written, repr(callback)])


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_train_calls_it(ray_cluster, tmp_path):
    def loop():
        for epoch in (1, 2, 3):
            ray.train.report({"epoch": epoch, "loss": 1.0 / epoch + ray.train.get_context().get_world_rank()})

    trainer = TorchTrainer(
        loop,
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 1}),
        run_config=RunConfig(
            name="x",
            storage_path=str(tmp_path / "ray"),
            callbacks=[MlflowCallback(tmp_path / "run", "mine")],
            failure_config=FailureConfig(max_failures=0),
        ),
    )
    trainer.fit()
    tracking, identity = open_tracking(None, tmp_path), read_identity(tmp_path / "run")
    history = tracking.reach("looking", lambda client: client.get_metric_history(identity.run_id, "loss"))
    assert [(metric.step, metric.value) for metric in history] == [(1, 1.0), (2, 0.5), (3, pytest.approx(1 / 3))]
