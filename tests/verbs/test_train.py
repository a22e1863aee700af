import dataclasses
import shutil

import pytest

from raymm import config
from raymm.errors import ArtefactError, ConfigError
from raymm.experiment import build_experiment
from raymm.verbs.run import storage_folder
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


def test_a_run_that_was_removed_makes_room_for_one_of_its_name(trained, tmp_path):
    ease = build_experiment({"model": "ease", "train": {"domain": "arts"}})
    request = dataclasses.replace(trained.request, experiment=ease, folder=tmp_path / "runs" / "again")
    folder, first = train(request, trained.tracking, lambda _: None)
    shutil.rmtree(folder.folder)
    _, second = train(request, trained.tracking, lambda _: None)
    assert first.run_id != second.run_id
    assert second.conflicts == ()
    found = trained.tracking.reach("looking", lambda client: client.get_run(first.run_id))
    assert found.info.status == "FINISHED"
