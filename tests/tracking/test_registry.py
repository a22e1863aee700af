from __future__ import annotations

import json
import shutil
from pathlib import Path

import mlflow
import numpy as np
import pytest

from raymm.errors import ArtefactError, TrackingError
from raymm.tracking.candidate import Candidate
from raymm.tracking.pulled import pull
from raymm.tracking.registry import claim_alias, find, register, resolve, set_alias
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
    first = register(tracking, Candidate(toy.run_id, folder, toy.prepared.folder, {"a": 1.0}), name)
    again = register(tracking, Candidate(toy.run_id, folder, toy.prepared.folder, {"a": 2.0}), name, "candidate")
    assert (first.version, again.version) == (1, 1)
    assert (first.uri, again.uri) == (f"models:/{name}/1", f"models:/{name}@candidate")
    assert again.metrics == {"a": 2.0}


def test_an_alias_moves_to_the_newer_version(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    name = "raymm-moving"
    first = register(tracking, Candidate(toy.run_id, toy.run_folder, toy.prepared.folder), name, "champion")
    other = write_run(tmp_path / "run", toy.prepared, seed=1)
    run = start_or_resume_run(tracking, tmp_path / "tracking", "other")
    second = register(tracking, Candidate(run.run_id, other, toy.prepared.folder), name, "champion")
    assert (first.version, second.version) == (1, 2)
    assert find(tracking, name, "champion") == second
    set_alias(tracking, name, 1, "champion")
    assert find(tracking, name, "champion") == first


def test_what_does_not_belong_together_is_refused(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    other = write_prepared(tmp_path / "prepared", seed=1)
    with pytest.raises(ArtefactError, match="the one that the run was trained on"):
        register(tracking, Candidate(toy.run_id, toy.run_folder, other.folder), "raymm-refused")
    with pytest.raises(ArtefactError, match="no manifest"):
        register(tracking, Candidate(toy.run_id, tmp_path / "nothing", other.folder), "raymm-refused")
    broken = write_run(tmp_path / "run", other)
    (broken / "history.jsonl").write_text("")
    with pytest.raises(ArtefactError, match="history.jsonl: changed"):
        register(tracking, Candidate(toy.run_id, broken, other.folder), "raymm-refused")
    assert find(tracking, "raymm-refused", "champion") is None


def test_scorers_of_strange_domains_are_refused(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", toy.prepared)
    shutil.move(folder / "scorers" / "office", folder / "scorers" / "toys")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"] = {name.replace("office", "toys"): digest for name, digest in manifest["files"].items()}
    (folder / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ArtefactError, match="'toys'"):
        register(tracking, Candidate(toy.run_id, folder, toy.prepared.folder), "raymm-strange")


def test_refusals_of_the_registry_are_errors(tracking: Tracking, toy: Toy) -> None:
    with pytest.raises(TrackingError, match="registering"):
        register(tracking, Candidate("0" * 32, toy.run_folder, toy.prepared.folder), "raymm-unknown")
    with pytest.raises(TrackingError, match="registering"):
        register(tracking, Candidate(toy.run_id, toy.run_folder, toy.prepared.folder), "a/b:c")
    with pytest.raises(TrackingError, match="alias"):
        set_alias(tracking, toy.model.name, toy.model.version, "v1")
    with pytest.raises(TrackingError, match="alias"):
        set_alias(tracking, toy.model.name, 999, "champion")


def test_what_users_have_from_training_and_validation_is_left_out(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    for domain in read_served(pull(tracking, toy.model, tmp_path / "served")):
        expected = np.zeros(domain.known.shape, dtype=bool)
        for users, items in (toy.prepared.train_pairs(domain.name), toy.prepared.validation_pairs(domain.name)):
            expected[users, items] = True
        assert expected.sum() == 4 * len(domain.user_ids)
        np.testing.assert_array_equal(domain.known.toarray() != 0, expected)
        assert list(domain.user_ids) == list(toy.prepared.user_ids(domain.name))
        assert list(domain.item_ids) == list(toy.prepared.item_ids(domain.name))


def test_an_alias_goes_to_who_was_compared_with_its_holder(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    name = "raymm-claimed"
    first = register(tracking, Candidate(toy.run_id, toy.run_folder, toy.prepared.folder), name)
    other = write_run(tmp_path / "run", toy.prepared, seed=1)
    run = start_or_resume_run(tracking, tmp_path / "tracking", "other")
    second = register(tracking, Candidate(run.run_id, other, toy.prepared.folder), name)
    claimed = claim_alias(tracking, first, "champion", None)
    assert claimed is not None
    assert claimed.uri == f"models:/{name}@champion"
    assert claim_alias(tracking, second, "champion", None) is None  # it thought that nobody had it
    assert find(tracking, name, "champion") == claimed
    assert claim_alias(tracking, first, "champion", None) == claimed  # it has it already
    won = claim_alias(tracking, second, "champion", first.version)
    assert won == find(tracking, name, "champion")
    assert won is not None
    assert won.version == second.version


def test_an_address_is_resolved_or_named(tracking: Tracking, toy: Toy) -> None:
    assert resolve(tracking, "models:/raymm-toy@champion") == toy.model
    assert resolve(tracking, "models:/raymm-toy/1").tags == toy.model.tags
    for wrong in ("raymm-toy@champion", "models:/raymm-toy", "models:/raymm-toy/Production", "models:/raymm-toy/0"):
        with pytest.raises(TrackingError, match="models:/<name>@<alias>"):
            resolve(tracking, wrong)
    with pytest.raises(TrackingError, match="nobody has this alias"):
        resolve(tracking, "models:/raymm-toy@nobody")
    with pytest.raises(TrackingError, match="raymm-toy"):
        resolve(tracking, "models:/raymm-toy/99")


def test_a_version_shows_its_card(tracking: Tracking, toy: Toy) -> None:
    version = tracking.reach("", lambda client: client.get_model_version(toy.model.name, str(toy.model.version)))
    assert "| `test.arts.ndcg@10` | 0.2500 |" in version.description
    assert "a" * 16 in version.description


def test_nothing_process_wide_is_set(toy: Toy) -> None:
    assert toy.model.version == 1
    assert not mlflow.tracking.is_tracking_uri_set()
    assert mlflow.active_run() is None
