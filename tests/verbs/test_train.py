import dataclasses
import shutil

import pytest

from raymm import config
from raymm.errors import ArtefactError, ConfigError
from raymm.experiment import build_experiment
from raymm.tracking.identity import read_identity
from raymm.verbs.ownership import owned
from raymm.verbs.run import storage_folder, tracking_folder
from raymm.verbs.train import train
from tests.verbs.conftest import SMALL

pytestmark = [pytest.mark.ray, pytest.mark.timeout(900)]


def test_a_training_leaves_a_run_folder_and_no_checkpoints(trained):
    assert trained.epochs == (1, 2, 3)
    assert [record["epoch"] for record in trained.folder.history] == [1, 2, 3]
    assert trained.folder.domains == ("arts", "office")
    assert not storage_folder(trained.folder.folder).exists()
    assert trained.folder.manifest.facts["structure"]["arts.fusion.converged"] == 1


def test_every_epoch_stands_in_mlflow_once(trained):
    run = trained.tracking.reach("looking", lambda client: client.get_run(trained.tracked.run_id))
    assert run.info.status == "FINISHED"
    assert run.data.params["settings.width"] == "16"
    assert run.data.params["carrier"] == "deepspeed"
    assert run.data.tags["raymm.data_fingerprint"] == trained.folder.data_fingerprint
    name = next(name for name in run.data.metrics if name.endswith("validation.ndcg_at_10"))
    steps = trained.tracking.reach("looking", lambda client: client.get_metric_history(run.info.run_id, name))
    assert [metric.step for metric in steps] == [1, 2, 3]
    assert trained.tracked.conflicts == ()


def test_a_finished_run_of_the_same_name_is_returned(trained):
    again, tracked = train(trained.request, trained.tracking, pytest.fail)
    assert again.manifest.fingerprint == trained.folder.manifest.fingerprint
    assert tracked is None


def test_the_name_of_another_run_is_refused(trained):
    other = build_experiment(config.override({}, [*SMALL, "train.seed=5"]))
    with pytest.raises(ConfigError, match="another experiment"):
        train(dataclasses.replace(trained.request, experiment=other), None, pytest.fail)
    with pytest.raises(ConfigError, match="another experiment"):
        train(dataclasses.replace(trained.request, known_pairs="none"), None, pytest.fail)


def test_a_damaged_prepared_set_is_refused_before_anything_starts(trained, tmp_path):
    broken = tmp_path / "prepared"
    shutil.copytree(trained.request.prepared, broken)
    (broken / "shared.parquet").write_bytes(b"cut")
    request = dataclasses.replace(trained.request, prepared=broken, folder=tmp_path / "run")
    with pytest.raises(ArtefactError, match=r"shared\.parquet: changed"):
        train(request, None, pytest.fail)


def _ease(trained, folder):
    ease = build_experiment({"model": "ease", "train": {"domain": "arts"}})
    return dataclasses.replace(trained.request, experiment=ease, folder=folder)


def _status(trained, run_id):
    return trained.tracking.reach("looking", lambda client: client.get_run(run_id)).info.status


def test_a_run_that_was_removed_makes_room_for_one_of_its_name(trained, tmp_path):
    request = _ease(trained, tmp_path / "runs" / "again")
    folder, first = train(request, trained.tracking, lambda _: None)
    shutil.rmtree(folder.folder)
    folder, second = train(request, trained.tracking, lambda _: None)
    assert first.run_id != second.run_id
    assert second.conflicts == ()
    assert _status(trained, first.run_id) == "FINISHED"
    shutil.rmtree(folder.folder)
    folder, none = train(request, None, lambda _: None)
    assert none is None
    assert read_identity(folder.tracking_folder) is None  # it is not taken for the tracked one of before


def test_what_a_killed_driver_left_undone_is_done_by_the_same_command(trained, tmp_path, monkeypatch):
    def killed(*_):
        raise KeyboardInterrupt

    request = _ease(trained, tmp_path / "runs" / "killed")
    with monkeypatch.context() as patched:
        patched.setattr("raymm.verbs.train._close", killed)
        with pytest.raises(KeyboardInterrupt):
            train(request, trained.tracking, lambda _: None)
    storage = storage_folder(request.folder)
    storage.mkdir(parents=True, exist_ok=True)
    (storage / "left").touch()
    run_id = read_identity(tracking_folder(request.folder)).run_id
    assert _status(trained, run_id) == "RUNNING"
    folder, _ = train(request, trained.tracking, pytest.fail)
    assert folder.domains == ("arts",)
    assert _status(trained, run_id) == "FINISHED"
    assert not storage.exists()


def test_nobody_trains_what_somebody_else_trains_now(trained, tmp_path):
    request = _ease(trained, tmp_path / "runs" / "twice")
    with owned(storage_folder(request.folder)), pytest.raises(ConfigError, match="a training that runs now"):
        train(request, None, pytest.fail)
    folder, _ = train(request, None, lambda _: None)
    assert folder.domains == ("arts",)
