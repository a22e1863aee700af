"""Trials whose settings change as they go: members of a population, and repetitions of the schedule of one."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from raymm.experiment import Experiment, build_experiment
from raymm.launch.population import HANDED, SCORE
from raymm.launch.session import connect
from raymm.launch.train import Outcome, Part, run_training
from raymm.report.sweep_record import Stage
from raymm.verbs.lineage import Line, begin, donor_of, hand_over, standing, take_over
from raymm.verbs.run import is_run, open_run_folder, storage_folder, write_run
from raymm.verbs.train import prepared_for
from raymm.verbs.trial import TrialPlace, nested

HandOver = Callable[[Mapping[str, Any], Path | None], None]


def run_member(
    place: TrialPlace, interval: int, name: str, values: Mapping[str, Any], given: Path | None, report: HandOver
) -> None:
    """Train one member of a population, `interval` epochs at a time, until it ends as any training does.

    Between two parts nothing of the cluster is held: whoever takes the report may end the process there, and start the
    trial again later with its own last checkpoint and values, or with another one's. Reports are those of `run_trial`
    with `score`, the value of the last validated epoch; those with a checkpoint also hold `handed_epoch`, its epoch;
    the first one of a process holds `lineage`, see `told_lineage`.

    Args:
        place: What trials share.
        interval: Epochs of a part; a multiple of those between two validations.
        name: Name of the trial and of its run folder.
        values: Dotted names of settings to values; of a trial that its storage knows and that was given nothing, those
            of its storage hold.
        given: Folder of the checkpoint to go on from, if the trial was paused or takes over another one's; None for
            one that starts, or that goes on after its driver was killed.
        report: Takes reports; it may not return.

    Raises:
        RaymmError: The settings fit no experiment, or whatever stops a training.
    """
    folder = place.folder / name
    if is_run(folder):
        report(_found(folder), None)
        return
    storage = storage_folder(folder)
    line = standing(storage)
    if given is not None and (line is None or donor_of(given) != name):
        line = take_over(storage, name, values, given)
    line = line or begin(storage, name, values)
    teller = _Teller(line, place, report)
    while True:
        done = max((record["epoch"] for record in line.journal.records()), default=0)
        outcome = teller.train((done // interval + 1) * interval)
        if teller.last["finished"]:
            break
        hand_over(line, outcome.checkpoint)
        teller.tell(outcome.checkpoint)
    teller.finish(folder, outcome)


def run_schedule(
    place: TrialPlace,
    schedules: Mapping[str, Sequence[Stage]],
    name: str,
    values: Mapping[str, Any],
    report: Callable[[Mapping[str, Any]], None],
) -> None:
    """Train from the first epoch on with settings that change as they did on the way to a member of a population.

    With the seed of the population it is the same training as the member's; with another one it says what the schedule
    is worth by itself. Interrupted, it goes on from its last checkpoint.

    Args:
        place: What trials share.
        schedules: Name of the trial to its schedule.
        name: Name of the trial and of its run folder.
        values: Settings that hold all the time, such as the seed, above those of the schedule.
        report: Takes reports, those of `run_trial` with `score` and `lineage`; it may not return.

    Raises:
        RaymmError: The settings fit no experiment, or whatever stops a training.
    """
    folder = place.folder / name
    if is_run(folder):
        report(_found(folder))
        return
    storage = storage_folder(folder)
    fixed = {key: value for key, value in values.items() if key not in schedules[name][0].values}
    stages = [Stage(stage.epoch, {**stage.values, **fixed}) for stage in schedules[name]]
    line = standing(storage) or begin(storage, name, stages[0].values)
    while True:
        teller = _Teller(line, place, lambda result, _: report(result))
        later = stages[len(line.schedule) :]
        outcome = teller.train(later[0].epoch if later else teller.experiment.train.loop.epochs)
        if teller.last["finished"]:
            break
        teller.tell(None)
        hand_over(line, outcome.checkpoint)
        line = take_over(storage, name, later[0].values, outcome.checkpoint)
    teller.finish(folder, outcome)


def told_lineage(schedule: Sequence[Stage], records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Say in plain data what led to a trial's weights.

    Args:
        schedule: All settings that did.
        records: Its epochs.

    Returns:
        `schedule`, and `curve`: epoch and best value until then, up to the last change of settings.
    """
    curve = [
        [record["epoch"], record["state"]["best"]]
        for record in records
        if record["validation"] and record["epoch"] <= schedule[-1].epoch
    ]
    return {"schedule": [asdict(stage) for stage in schedule], "curve": curve}


class _Teller:
    """Trains a line part by part, and reports its epochs."""

    def __init__(self, line: Line, place: TrialPlace, report: HandOver) -> None:
        self.experiment = build_experiment(nested(place.values, line.values), f"trial {line.trial}")
        self._prepared = prepared_for(self.experiment, place.prepared)
        self._line, self._place, self._report = line, place, report
        self._waiting: list[Mapping[str, Any]] = []
        self._told = False
        self._until = 0

    @property
    def last(self) -> Mapping[str, Any]:
        """The record of the last epoch."""
        return self._line.journal.records()[-1]

    def train(self, until: int) -> Outcome:
        """Train until an epoch, and report all but the last one of those before it."""
        connect()
        self._until = until
        part = Part(until, self._line.start)
        return run_training(
            self.experiment, self._prepared, self._line.folder, self._follow, self._place.known_pairs, part
        )

    def tell(self, checkpoint: Path | None) -> None:
        """Report the last epoch, with the checkpoint after it if there is one to hand over."""
        result = _result(self.last, self.experiment)
        if checkpoint is not None:
            result[HANDED] = self.last["epoch"]
        self._tell(result, checkpoint)

    def finish(self, folder: Path, outcome: Outcome) -> None:
        """Write the run folder, and report that it stands."""
        line, history = self._line, self._line.journal.records()
        facts = {
            "known_pairs": self._place.known_pairs,
            "structure": dict(outcome.structure_facts),
            "seconds": sum(sum(record["seconds"].values()) for record in history),
            "workers": self.experiment.scale.workers,
            "schedule": told_lineage(line.schedule, history)["schedule"],
        }
        write_run(folder, self.experiment, self._prepared, history, outcome.scorers, facts)
        shutil.rmtree(storage_folder(folder))
        self._report({**_result(history[-1], self.experiment), **_told(line.schedule, history), "finished": True}, None)

    def _follow(self, record: Mapping[str, Any]) -> None:
        noted = self._line.journal.add(record, self.experiment.train.loop.selection)
        if noted is None:
            return
        self._waiting.append(noted)
        if noted["validation"] and not noted["finished"] and noted["epoch"] < self._until:
            self._tell(_result(noted, self.experiment), None)

    def _tell(self, result: dict[str, Any], checkpoint: Path | None) -> None:
        if not self._told:
            result["lineage"] = told_lineage(self._line.schedule, self._line.journal.records())
        self._told = True
        result["records"] = list(self._waiting)
        self._waiting.clear()
        self._report(result, checkpoint)


def _result(record: Mapping[str, Any], experiment: Experiment) -> dict[str, Any]:
    state = record["state"]
    score = record["validation"].get(experiment.train.loop.selection, state["best"])
    best = {"value": state["best"], "best_epoch": state["best_epoch"], "epoch": record["epoch"]}
    return {**best, SCORE: score, "finished": False}


def _told(schedule: Sequence[Stage], history: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {"records": list(history), "lineage": told_lineage(schedule, history)}


def _found(folder: Path) -> dict[str, Any]:
    """Return the report of a trial whose run folder stands already."""
    run = open_run_folder(folder)
    schedule = [Stage(**stage) for stage in run.manifest.facts["schedule"]]
    return {**_result(run.history[-1], run.experiment), **_told(schedule, run.history), "finished": True}
