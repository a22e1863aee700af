"""One small run, trained once on a real Ray and tracked in a real MLflow, for all tests of the verbs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from raymm import config
from raymm.experiment import build_experiment
from raymm.tracking.runs import Run
from raymm.tracking.store import Tracking, open_tracking
from raymm.verbs.run import RunFolder
from raymm.verbs.train import TrainRequest, train

SMALL = ("settings.width=16", "settings.transfer.warmup_epochs=1", "train.loop.epochs=3", "scale.workers=1")


@dataclass(frozen=True, eq=False)
class Trained:
    """What the one training left."""

    request: TrainRequest
    tracking: Tracking
    folder: RunFolder
    tracked: Run
    epochs: tuple[int, ...]


@pytest.fixture(scope="session")
def trained(prepared_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    base = tmp_path_factory.mktemp("verbs")
    tracking = open_tracking(None, base)
    experiment = build_experiment(config.override({}, SMALL))
    request = TrainRequest(experiment, prepared_sample, base / "runs" / "small", address="local")
    epochs: list[int] = []
    folder, tracked = train(request, tracking, lambda record: epochs.append(record["epoch"]))
    assert tracked is not None
    return Trained(request, tracking, folder, tracked, tuple(epochs))
