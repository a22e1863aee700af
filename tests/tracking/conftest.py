"""One embedded store for all tests of tracking: MLflow takes seconds to create it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from raymm.data.prepared import PreparedSet
from raymm.tracking.candidate import Candidate
from raymm.tracking.registry import RegisteredModel, register
from raymm.tracking.runs import start_or_resume_run
from raymm.tracking.store import Tracking, open_tracking
from tests.tracking.toys import write_prepared, write_run


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs with blank")


@pytest.fixture(scope="session")
def tracking(store_folder: Path) -> Tracking:
    return open_tracking(None, store_folder)


@dataclass(frozen=True)
class Toy:
    """A finished run, registered as `raymm-toy@champion`."""

    prepared: PreparedSet
    run_folder: Path
    run_id: str
    model: RegisteredModel


@pytest.fixture(scope="session")
def toy(tracking: Tracking, tmp_path_factory: pytest.TempPathFactory) -> Toy:
    folder = tmp_path_factory.mktemp("toy")
    prepared = write_prepared(folder / "prepared")
    run_folder = write_run(folder / "run", prepared)
    run = start_or_resume_run(tracking, folder / "tracking", "toy")
    run.log_params({"seed": 0})
    run.finish()
    metrics = {"test.arts.ndcg@10": 0.25, "test.office.hr@10": 0.5}
    model = register(tracking, Candidate(run.run_id, run_folder, prepared.folder, metrics), "raymm-toy", "champion")
    return Toy(prepared, run_folder, run.run_id, model)
