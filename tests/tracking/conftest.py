"""One embedded store for all tests of tracking: MLflow takes seconds to create it."""

from __future__ import annotations

from pathlib import Path

import pytest

from raymm.tracking.store import Tracking, open_tracking


@pytest.fixture(scope="session")
def store_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("runs with blank")


@pytest.fixture(scope="session")
def tracking(store_folder: Path) -> Tracking:
    return open_tracking(None, store_folder)
