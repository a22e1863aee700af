from __future__ import annotations

from pathlib import Path

import pytest

from raymm.config import read_toml
from raymm.experiment import build_experiment

FILES = sorted((Path(__file__).parents[2] / "jobs" / "experiments").glob("gume_*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_experiment_builds(path: Path) -> None:
    experiment = build_experiment(read_toml(path), str(path))
    assert experiment.model == "gume"
    assert experiment.train.optimizer.learning_rate == 1e-3


def test_the_experiments_differ() -> None:
    assert len(FILES) >= 7
    plain = [str(build_experiment(read_toml(path), str(path)).plain()) for path in FILES]
    assert len(set(plain)) == len(plain)
