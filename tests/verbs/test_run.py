import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from raymm.errors import ArtefactError
from raymm.experiment import build_experiment
from raymm.scorers import ItemScorer
from raymm.verbs.run import is_run, open_run_folder, storage_folder, tracking_folder, write_run

HISTORY = [{"epoch": 1, "losses": {"a": 1.0}}, {"epoch": 2, "losses": {"a": 0.5}}]


def _written(folder):
    prepared = SimpleNamespace(folder=Path("somewhere"), fingerprint="data")
    scorers = {"arts": ItemScorer(torch.tensor([1.0, 3.0]), 5)}
    return write_run(folder, build_experiment({}), prepared, HISTORY, scorers, {"known_pairs": "drawn"})


def test_what_is_written_is_read_back(tmp_path):
    assert not is_run(tmp_path / "run")
    run = _written(tmp_path / "run")
    assert is_run(run.folder)
    assert run.name == "run"
    assert list(run.history) == HISTORY
    assert run.experiment.plain() == build_experiment({}).plain()
    assert (run.data_fingerprint, run.domains) == ("data", ("arts",))
    assert torch.equal(run.scorers()["arts"].arrays()["item_scores"], torch.tensor([1.0, 3.0]))


def test_side_folders_stand_beside_the_run(tmp_path):
    folder = tmp_path / "run"
    assert tracking_folder(folder) == tmp_path / ".tracking" / "run"
    assert storage_folder(folder) == tmp_path / ".training" / "run"


def test_a_changed_file_is_found(tmp_path):
    run = _written(tmp_path / "run")
    values = json.loads((run.folder / "config.json").read_text())
    values["train"]["seed"] = 9
    (run.folder / "config.json").write_text(json.dumps(values))
    with pytest.raises(ArtefactError, match=r"config\.json: changed"):
        open_run_folder(run.folder)


def test_a_run_with_settings_that_are_gone_says_what_to_do(tmp_path, monkeypatch):
    run = _written(tmp_path / "run")
    values = json.loads((run.folder / "config.json").read_text())
    values["settings"]["votes"]["lending"] = "sum"
    (run.folder / "config.json").write_text(json.dumps(values))
    monkeypatch.setattr("raymm.verbs.run.artefacts.verify", lambda *_: None)  # as it was written
    with pytest.raises(ArtefactError, match="unknown setting") as caught:
        open_run_folder(run.folder)
    assert "train again" in caught.value.remedy


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(ArtefactError, match="no manifest"):
        open_run_folder(tmp_path)
