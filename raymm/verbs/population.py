"""What a sweep by population based training does otherwise: what it refuses, and where it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raymm.errors import ConfigError
from raymm.experiment import Experiment
from raymm.launch.held import release
from raymm.launch.population import check_continuous
from raymm.launch.space import Space
from raymm.launch.tune import ScheduleConfig
from raymm.models.registry import find_model
from raymm.models.spec import ModelSpec
from raymm.report.sweep_record import TrialRecord
from raymm.verbs.lineage import standing


def check_population(schedule: ScheduleConfig, start: Experiment, space: Space) -> None:
    """Refuse a model, a space or an interval with which no trial can take over another one's weights.

    Args:
        schedule: With the scheduler `pbt`.
        start: What the model's trials start from.
        space: What changes within them.

    Raises:
        ConfigError: A model in closed form or of ratings; no workers; a setting that is not continuous; an interval
            that is no multiple of the epochs between two validations, or not shorter than the training.
    """
    where, loop, interval = f"sweep of {start.model}", start.train.loop, schedule.interval
    if not isinstance(find_model(start.model), ModelSpec):
        raise ConfigError(
            f"pbt with {start.model}", "a model trained by epochs on workers", where, "choose another --scheduler"
        )
    if not start.scale.workers:
        raise ConfigError(
            "pbt without workers", "1 or more: members hand weights on between workers", where, "give --workers"
        )
    check_continuous(space, f"search space of {start.model}")
    if interval % loop.validate_every or interval >= loop.epochs:
        raise ConfigError(
            f"an interval of {interval} epochs",
            f"a multiple of train.loop.validate_every ({loop.validate_every}) below train.loop.epochs ({loop.epochs})",
            where,
            "choose another --interval",
        )


def values_now(storage: Path, trial: TrialRecord) -> Mapping[str, Any]:
    """Return with what an interrupted trial goes on: its storage knows, what was last reported may be older.

    Args:
        storage: The trial's storage.
        trial: What the ledger says of it.
    """
    line = standing(storage)
    return trial.values if line is None else line.values


def release_all(storage: Path) -> None:
    """Give back what a trial holds of the cluster, whatever part of it was stopped; see `launch.held`."""
    for folder in (storage, *sorted(storage.glob("[0-9]*"))):
        release(folder)
