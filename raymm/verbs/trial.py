"""One trial of a sweep, in a process of its own: a training that reports as it goes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raymm.data.prepared import KnownPairs
from raymm.errors import TrainingError
from raymm.experiment import build_experiment
from raymm.verbs.train import TrainRequest, train


@dataclass(frozen=True, eq=False)
class TrialPlace:
    """What the trials of a round share.

    Attributes:
        values: The plain experiment that they start from.
        prepared: The prepared folder.
        folder: Folder of their run folders.
        known_pairs: Which shared users training knows.
    """

    values: Mapping[str, Any]
    prepared: Path
    folder: Path
    known_pairs: KnownPairs


def run_trial(
    place: TrialPlace, name: str, values: Mapping[str, Any], report: Callable[[Mapping[str, Any]], None]
) -> None:
    """Train one trial into its run folder, as `raymm train` would; the test set is not touched.

    A report holds `value` (the best so far of the selection metric), `best_epoch`, `epoch`, `records` (plain records of
    the epochs since the last report) and `finished`, which is true of the last one, when the run folder stands.
    A trial that was interrupted goes on from its last checkpoint; one that is finished reports at once.

    Args:
        place: What trials share.
        name: Name of the trial and of its run folder.
        values: Dotted names of settings to what is tried.
        report: Takes reports; it may not return, where the trial is stopped.

    Raises:
        RaymmError: The settings fit no experiment, or whatever stops a training.
    """
    experiment = build_experiment(nested(place.values, values), f"trial {name}")
    selection = experiment.train.loop.selection
    waiting: list[Mapping[str, Any]] = []

    def follow(record: Mapping[str, Any]) -> None:
        waiting.append(record)
        if record["validation"] and not record["finished"]:
            state = record["state"]
            best = {"value": state["best"], "best_epoch": state["best_epoch"], "epoch": record["epoch"]}
            report({**best, "records": list(waiting), "finished": False})
            waiting.clear()

    request = TrainRequest(experiment, place.prepared, place.folder / name, place.known_pairs)
    run, _ = train(request, None, follow)
    value, negative = max(
        (
            (record["validation"][selection], -record["epoch"])
            for record in run.history
            if selection in record["validation"]
        ),
        default=(None, 0),
    )
    if value is None:
        raise TrainingError(
            f"no {selection} on validation",
            "a validated epoch",
            f"trial {name}",
            "validate more often, or train longer",
        )
    best = {"value": value, "best_epoch": -negative, "epoch": run.history[-1]["epoch"]}
    report({**best, "records": list(run.history), "finished": True})


def nested(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """Set dotted names in a copy of nested tables."""
    result = copy.deepcopy(dict(base))
    for name, value in values.items():
        *parents, last = name.split(".")
        table = result
        for parent in parents:
            table = table.setdefault(parent, {})
        table[last] = value
    return result
