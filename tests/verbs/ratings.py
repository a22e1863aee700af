"""Small settings of models of ratings for `tests.conftest.prepared_ratings`."""

from __future__ import annotations

from pathlib import Path

from raymm import config
from raymm.experiment import Experiment, build_experiment
from raymm.verbs.run import RunFolder
from raymm.verbs.train import TrainRequest, train

DEFAULT = (
    "settings.factors.width=2",
    "settings.factors.source_ridge=2.0",
    "settings.factors.target_ridges=[2.0, 10.0]",
    "settings.meta.epochs=2",
    "settings.meta.gate=0.0",
    "settings.ranking.cutoff=5",
)
COMPAT = (
    "settings.pretrain.width=4",
    "settings.pretrain.epochs=3",
    "settings.pretrain.learning_rate=0.03",
    "settings.meta.epochs=3",
    "settings.network.interests=2",
)


def experiment(model: str, settings: tuple[str, ...] = (), preset: str = "default") -> Experiment:
    """An experiment out of `NAME=VALUE`."""
    return build_experiment(config.override({"model": model, "preset": preset}, settings))


def made(
    model: str, prepared: Path, folder: Path, settings: tuple[str, ...] = (), preset: str = "default"
) -> RunFolder:
    """Train without tracking."""
    request = TrainRequest(experiment(model, settings, preset), prepared, folder)
    return train(request, None, lambda _: None)[0]
