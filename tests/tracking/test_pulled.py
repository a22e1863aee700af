"""What is brought from the registry is what was registered; anything else is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.errors import ArtefactError, TrackingError
from raymm.tracking.candidate import Candidate
from raymm.tracking.pulled import pull
from raymm.tracking.recommender import Recommender
from raymm.tracking.registry import find, register, set_alias
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.served import read_served
from raymm.tracking.store import Tracking
from tests.tracking.conftest import Toy
from tests.tracking.test_registry import stored_files
from tests.tracking.toys import write_run


def test_a_pulled_model_answers_without_the_registry(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    folder = pull(tracking, toy.model, tmp_path / "new" / "served")
    assert Recommender(read_served(folder)).domains == ("arts", "office")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["served"]
    with pytest.raises(ArtefactError, match="a folder with content"):
        pull(tracking, toy.model, folder)


def test_a_changed_file_is_not_pulled(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    run_folder = write_run(tmp_path / "run", toy.prepared, seed=5)
    run = start_or_resume_run(tracking, tmp_path / "tracking", "tampered")
    model = register(tracking, Candidate(run.run_id, run_folder, toy.prepared.folder), "raymm-tampered")
    files = stored_files(tracking, Toy(toy.prepared, run_folder, run.run_id, model))
    inside = files / "artifacts" / "recommender"
    paths = sorted(path for path in inside.rglob("*") if path.is_file())
    assert len(paths) == 3 + 2 * 5  # manifest and cards; three tables, label and arrays of each domain
    for path in paths:
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        with pytest.raises(ArtefactError, match="differs|changed"):
            pull(tracking, model, tmp_path / "pulled")
        path.unlink()
        with pytest.raises(ArtefactError, match="differs|missing"):
            pull(tracking, model, tmp_path / "pulled")
        path.write_bytes(content)
    for name in ("model.pkl", "domains/arts/scorer/more.bin"):
        (inside / name).write_bytes(b"x")
        with pytest.raises(ArtefactError, match=name):
            pull(tracking, model, tmp_path / "pulled")
        (inside / name).unlink()
    assert not (tmp_path / "pulled").exists()
    assert pull(tracking, model, tmp_path / "pulled")


def test_a_model_of_somebody_else_is_not_pulled(tracking: Tracking, toy: Toy, tmp_path: Path) -> None:
    tracking.reach("", lambda client: client.create_registered_model("strange"))
    uri = stored_files(tracking, toy).as_uri()
    tracking.reach("", lambda client: client.create_model_version("strange", uri, toy.run_id))
    set_alias(tracking, "strange", 1, "champion")
    model = find(tracking, "strange", "champion")
    assert model is not None
    with pytest.raises(TrackingError, match="did not register"):
        pull(tracking, model, tmp_path / "pulled")
