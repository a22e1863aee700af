"""All that a sweep's page says, as plain frozen data that JSON can hold."""

from __future__ import annotations

import dataclasses
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

State = Literal["running", "finished", "stopped", "failed"]


@dataclass(frozen=True)
class Stage:
    """Settings that hold from an epoch on, in a trial whose settings change.

    Attributes:
        epoch: Epochs that were done when they came.
        values: Dotted names of settings to values.
        source: Name of the trial whose weights and epochs before that were taken over; empty for its own.
    """

    epoch: int
    values: Mapping[str, Any]
    source: str = ""


@dataclass(frozen=True)
class TrialRecord:
    """One trial of a sweep, as far as it has come.

    Attributes:
        name: Its name, which its run folder and its tracked run have, too.
        model: Name of the model.
        seed: Seed of the training.
        values: Dotted names of settings to what it tries; the last of them where they change.
        repeats: Name of the trial whose settings it repeats with another seed; empty for one of the search.
        state: `running` (or interrupted), `finished` by itself, `stopped` by scheduler or time, or `failed`.
        value: Best value of the selection metric on validation; None if there is none, as in a failed trial.
        best_epoch: Its epoch.
        epochs: Epochs done.
        curve: Epoch and best value until then.
        seconds: From its start to its end, over all attempts.
        attempts: How often it was started: more than once after the driver was interrupted.
        reason: Why it failed.
        schedule: All that led to its weights, in order, those of others before it took over theirs included; empty
            where settings never changed.
    """

    name: str
    model: str
    seed: int
    values: Mapping[str, Any]
    repeats: str = ""
    state: State = "running"
    value: float | None = None
    best_epoch: int = 0
    epochs: int = 0
    curve: tuple[tuple[int, float], ...] = ()
    seconds: float = 0.0
    attempts: int = 1
    reason: str = ""
    schedule: tuple[Stage, ...] = ()

    @property
    def stages(self) -> tuple[Stage, ...]:
        """What led to its weights, also where that is one setting from end to end."""
        return self.schedule or (Stage(0, self.values),)


@dataclass(frozen=True)
class Finalist:
    """One of the best trials, and what its settings gave with several seeds.

    Attributes:
        trial: Name of the trial of the search.
        values: What it tried.
        seeds: Seed to best validation value.
        failed: Runs that failed, and are in no mean.
        schedule: Of its trial; with other seeds all of it was repeated, from the first epoch on.
    """

    trial: str
    values: Mapping[str, Any]
    seeds: Mapping[str, float]
    failed: int = 0
    schedule: tuple[Stage, ...] = ()

    @property
    def mean(self) -> float:
        """Mean over the seeds; minus infinity without any."""
        return statistics.fmean(self.seeds.values()) if self.seeds else float("-inf")

    @property
    def spread(self) -> float | None:
        """Standard deviation over the seeds; None with fewer than two."""
        return statistics.stdev(self.seeds.values()) if len(self.seeds) > 1 else None


@dataclass(frozen=True)
class ModelSweep:
    """What the sweep says of one model.

    Attributes:
        model: Name of the model.
        trials: Trials of the search, then runs that repeat the finalists.
        finalists: The best, by their mean over seeds.
        importance: Setting to the share of the variation of values that a forest explains by it; empty with few trials.
    """

    model: str
    trials: tuple[TrialRecord, ...]
    finalists: tuple[Finalist, ...] = ()
    importance: Mapping[str, float] = field(default_factory=dict)

    @property
    def searched(self) -> tuple[TrialRecord, ...]:
        """The trials of the search alone."""
        return tuple(trial for trial in self.trials if not trial.repeats)

    def count(self, state: State) -> int:
        """Count the trials of the search in a state."""
        return sum(trial.state == state for trial in self.searched)

    @property
    def winner(self) -> Finalist | None:
        """The finalist with the best mean; None if every trial failed."""
        return self.finalists[0] if self.finalists else None

    @property
    def seconds(self) -> float:
        """Time of all trials together."""
        return sum(trial.seconds for trial in self.trials)


@dataclass(frozen=True)
class SweepRecord:
    """A sweep, whole or as far as it has come.

    Attributes:
        name: Its name.
        metric: What trials are chosen by, on validation.
        data: Name of the data set.
        data_fingerprint: Fingerprint of the prepared set.
        created: Seconds since the epoch.
        sessions: How often its driver was started.
        models: What it says of each model.
        method: What was done, by name: search, scheduler, budget and so on.
    """

    name: str
    metric: str
    data: str
    data_fingerprint: str
    created: float
    sessions: int
    models: tuple[ModelSweep, ...]
    method: Mapping[str, str] = field(default_factory=dict)

    def plain(self) -> dict[str, Any]:
        """Return plain data."""
        return dataclasses.asdict(self)


def ranked(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """Order trials that have a value, best first, the earlier of equals first; failed and running ones are left out."""
    rated = [trial for trial in trials if trial.state in ("finished", "stopped") and trial.value is not None]
    return tuple(sorted(rated, key=lambda trial: -(trial.value or 0.0)))


def distinct(trials: Sequence[TrialRecord]) -> tuple[TrialRecord, ...]:
    """Leave out trials whose best epoch is another one's, which they took over and did not better.

    Args:
        trials: The better ones first, of which each line of weights keeps the first.
    """
    kept: dict[str, TrialRecord] = {}
    for trial in trials:
        line = [[stage.epoch, dict(stage.values)] for stage in trial.stages if stage.epoch < trial.best_epoch]
        kept.setdefault(json.dumps([trial.best_epoch, line], sort_keys=True), trial)
    return tuple(kept.values())
