from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest

from raymm.errors import ArtefactError, TrackingError
from raymm.tracking.recommender import Recommender
from raymm.tracking.registry import find, pull, register, set_alias
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking
from tests.tracking.conftest import Toy
from tests.tracking.toys import write_prepared, write_run


def stored_files(tracking: Tracking, toy: Toy, version: int | None = None) -> Path:
    """Return where the registered model's files are."""
    uri = tracking.reach(
        "", lambda client: client.get_model_version_download_uri(toy.model.name, str(version or toy.model.version))
    )
    return Path(uri.removeprefix("file://").replace("%20", " "))


def test_a_version_leads_back_to_its_data(tracking: Tracking, toy: Toy) -> None:
    assert toy.model.uri == "models:/raymm-toy@champion"
    assert toy.model.run_id == toy.run_id
    assert toy.model.data_fingerprint == toy.prepared.fingerprint
    assert json.loads(toy.model.tags["raymm.raw_files"]) == {"arts.tsv": "a" * 16, "office.tsv": "b" * 16}
    for name in ("raymm.run_fingerprint", "raymm.config_hash", "raymm.version", "raymm.manifest_sha256"):
        assert toy.model.tags[name]
    run = tracking.reach("", lambda client: client.get_run(toy.run_id))
    assert len(run.outputs.model_outputs) == 1
    logged = tracking.reach("", lambda client: client.get_logged_model(run.outputs.model_outputs[0].model_id))
    assert logged.status == "READY"
    assert logged.source_run_id == toy.run_id
    assert logged.params == {"seed": "0"}


def test_the_champion_is_found_with_its_metrics(tracking: Tracking, toy: Toy) -> None:
    champion = find(tracking, "raymm-toy", "champion")
    assert champion == toy.model
    assert champion is not None
    assert champion.metrics == {"test.arts.ndcg@10": 0.25, "test.office.hr@10": 0.5}
    assert find(tracking, "raymm-toy", "nobody") is None
    assert find(tracking, "no such model", "champion") is None


def test_registering_twice_gives_one_version_and_the_newer_metrics(tracking: Tracking, toy: Toy) -> None:
    folder, name = toy.run_folder, "raymm-twice"
    first = register(tracking, toy.run_id, folder, toy.prepared.folder, name, metrics={"a": 1.0})
    again = register(tracking, toy.run_id, folder, toy.prepared.folder, name, "candidate", metrics={"a": 2.0})
    assert (first.version, again.version) == (1, 1)
    assert (first.uri, again.uri) == (f"models:/{name}/1", f"models:/{name}@candidate")
    assert again.metrics == {"a": 2.0}


def test_an_alias_moves_to_the_newer_version(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    name = "raymm-moving"
    first = register(tracking, toy.run_id, toy.run_folder, toy.prepared.folder, name, "champion")
    other = write_run(tmp_path / "run", toy.prepared, seed=1)
    run = start_or_resume_run(tracking, tmp_path / "tracking", "other")
    second = register(tracking, run.run_id, other, toy.prepared.folder, name, "champion")
    assert (first.version, second.version) == (1, 2)
    assert find(tracking, name, "champion") == second
    set_alias(tracking, name, 1, "champion")
    assert find(tracking, name, "champion") == first


def test_what_does_not_belong_together_is_refused(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    other = write_prepared(tmp_path / "prepared", seed=1)
    with pytest.raises(ArtefactError, match="the one that the run was trained on"):
        register(tracking, toy.run_id, toy.run_folder, other.folder, "raymm-refused")
    with pytest.raises(ArtefactError, match="no manifest"):
        register(tracking, toy.run_id, tmp_path / "nothing", other.folder, "raymm-refused")
    broken = write_run(tmp_path / "run", other)
    (broken / "history.jsonl").write_text("")
    with pytest.raises(ArtefactError, match="history.jsonl: changed"):
        register(tracking, toy.run_id, broken, other.folder, "raymm-refused")
    assert find(tracking, "raymm-refused", "champion") is None


def test_scorers_of_strange_domains_are_refused(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", toy.prepared)
    shutil.move(folder / "scorers" / "office", folder / "scorers" / "toys")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name.replace("office", "toys"): digest for name, digest in manifest["files"].items()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="'toys'"):
        register(tracking, toy.run_id, folder, toy.prepared.folder, "raymm-strange")


def test_refusals_of_the_registry_are_errors(tracking: Tracking, toy: Toy) -> None:
    with pytest.raises(TrackingError, match="registering"):
        register(tracking, "0" * 32, toy.run_folder, toy.prepared.folder, "raymm-unknown")
    with pytest.raises(TrackingError, match="registering"):
        register(tracking, toy.run_id, toy.run_folder, toy.prepared.folder, "a/b:c")
    with pytest.raises(TrackingError, match="alias"):
        set_alias(tracking, toy.model.name, toy.model.version, "v1")
    with pytest.raises(TrackingError, match="alias"):
        set_alias(tracking, toy.model.name, 999, "champion")


def test_a_pulled_model_answers_without_the_registry(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    folder = pull(tracking, toy.model, tmp_path / "new" / "served")
    assert Recommender(read_served(folder)).domains == ("arts", "office")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["served"]
    with pytest.raises(ArtefactError, match="a folder with content"):
        pull(tracking, toy.model, folder)


def test_what_users_have_from_training_and_validation_is_left_out(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    for domain in read_served(pull(tracking, toy.model, tmp_path / "served")):
        expected = np.zeros(domain.known.shape, dtype=bool)
        for users, items in (toy.prepared.train_pairs(domain.name), toy.prepared.validation_pairs(domain.name)):
            expected[users, items] = True
        assert expected.sum() == 4 * len(domain.user_ids)
        np.testing.assert_array_equal(domain.known.toarray() != 0, expected)
        assert list(domain.user_ids) == list(toy.prepared.user_ids(domain.name))
        assert list(domain.item_ids) == list(toy.prepared.item_ids(domain.name))


def test_a_changed_file_is_not_pulled(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    run_folder = write_run(tmp_path / "run", toy.prepared, seed=5)
    run = start_or_resume_run(tracking, tmp_path / "tracking", "tampered")
    model = register(tracking, run.run_id, run_folder, toy.prepared.folder, "raymm-tampered")
    files = stored_files(tracking, Toy(toy.prepared, run_folder, run.run_id, model))
    path = files / "artifacts" / "recommender" / "domains" / "arts" / "items.parquet"
    content = path.read_bytes()
    path.write_bytes(content + b"x")
    with pytest.raises(ArtefactError, match="items.parquet: changed"):
        pull(tracking, model, tmp_path / "pulled")
    path.write_bytes(content)
    manifest = files / "artifacts" / "recommender" / "manifest.json"
    manifest.write_text(manifest.read_text().replace("arts", "aarts"))
    with pytest.raises(ArtefactError, match="a manifest that differs"):
        pull(tracking, model, tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists()


def test_a_model_of_somebody_else_is_not_pulled(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    tracking.reach("", lambda client: client.create_registered_model("strange"))
    uri = stored_files(tracking, toy).as_uri()
    tracking.reach("", lambda client: client.create_model_version("strange", uri, toy.run_id))
    set_alias(tracking, "strange", 1, "champion")
    model = find(tracking, "strange", "champion")
    assert model is not None
    with pytest.raises(TrackingError, match="did not register"):
        pull(tracking, model, tmp_path / "pulled")


def test_nothing_process_wide_is_set(toy: Toy) -> None:
    assert toy.model.version == 1
    assert not mlflow.tracking.is_tracking_uri_set()
    assert mlflow.active_run() is None
