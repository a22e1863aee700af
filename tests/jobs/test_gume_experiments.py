from __future__ import annotations

from pathlib import Path

import pytest

from raymm.config import read_toml
from raymm.experiment import build_experiment

FILES = sorted((Path(__file__).parents[2] / "jobs" / "experiments").glob("gume_parity_*.toml"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_experiment_builds(path: Path) -> None:
    experiment = build_experiment(read_toml(path), str(path))
    assert experiment.model == "gume"
    assert experiment.train.optimizer.learning_rate == 1e-3


def test_the_experiments_differ() -> None:
    assert len(FILES) >= 3
    plain = [str(build_experiment(read_toml(path), str(path)).plain()) for path in FILES]
    assert len(set(plain)) == len(plain)


def test_parity_turns_every_switch() -> None:
    for path in FILES:
        experiment = build_experiment(read_toml(path), str(path))
        settings, train = experiment.settings, experiment.train
        assert not settings.graph.symmetric_links
        assert settings.train_features
        assert settings.regulariser_rows == train.batch_size == 2048
        assert settings.alignment.internal == "scalar"
        assert (train.loop.selection, train.loop.selection_decimals, train.loop.patience) == ("recall@20", 4, 21)
        assert (train.test_hides, train.negatives.draw) == ("training", "seen")
        assert train.optimizer.learning_rate * train.optimizer.factor(51) == pytest.approx(0.96e-3)
