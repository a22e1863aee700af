"""A sweep in MLflow: one parent run, one child run a trial, however often its driver is started again."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

import raymm
from raymm.errors import TrackingError
from raymm.report.sweep_record import SweepRecord, TrialRecord
from raymm.tracking.identity import run_tags
from raymm.tracking.runs import Run, start_or_resume_run
from raymm.tracking.store import Tracking
from raymm.tracking.system import SystemSampler

FOLDER = "tracking"

_PARENT = "sweep"
_LONGEST = 5000  # characters of a tag, which stores limit
_LOGGED = ("losses", "validation", "diagnostics", "seconds", "system")
_STATUS: Mapping[str, Any] = {"finished": "FINISHED", "stopped": "FINISHED", "failed": "FAILED"}


class SweepTracker:
    """Logs a sweep from a thread of its own, so that a slow server holds up no trial; made by `tracked_sweep`.

    Runs are found again by their folders, one for the sweep and one for each trial, as `start_or_resume_run` does it:
    neither a crash nor a restart makes a second run of a trial. What cannot be sent waits in these folders.

    Args:
        tracking: The store; None logs nothing.
        folder: The sweep's folder.
        data: Fingerprint of the prepared set.
        sample_every_s: Seconds between samples of the driver's machine, logged with the sweep's own run.
    """

    def __init__(self, tracking: Tracking | None, folder: Path, data: str, sample_every_s: float = 30.0) -> None:
        self._problem: TrackingError | None = None
        self._tracking, self._folder, self._data = tracking, folder, data
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sweep tracking", daemon=True)
        self._parent: Run | None = None
        self._runs: dict[str, Run] = {}
        self._orphans: set[str] = set()
        self._done: set[str] = set()
        self._every_s, self._sampler = sample_every_s, SystemSampler()

    @property
    def problem(self) -> TrackingError | None:
        """What could not be sent, of the first run that has such; None if all was."""
        runs = [self._parent, *self._runs.values()]
        return self._problem or next((run.problem for run in runs if run is not None and run.problem is not None), None)

    def start(self, settings: Mapping[str, str]) -> None:
        """Start or resume the parent run."""
        self._thread.start()
        self._do(self._start, settings)

    def started(self, trial: TrialRecord, settings: Mapping[str, Any]) -> None:
        """Start or resume the run of a trial, and log its settings."""
        self._do(self._started, trial, settings)

    def epochs(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Log plain records of epochs under their steps; those that the store has are not logged again."""
        self._do(self._epochs, name, list(records))

    def changed(self, trial: TrialRecord, settings: Mapping[str, Any]) -> None:
        """Log the settings that a trial goes on with, and all that led to its weights, under their epochs."""
        self._do(self._changed, trial, settings)

    def ended(self, trial: TrialRecord) -> None:
        """Say how a trial ended."""
        self._do(self._ended, trial)

    def finish(self, record: SweepRecord, files: Sequence[Path]) -> None:
        """Log the sweep's result and its files with the parent run, and end it."""
        self._do(self._finish, record, list(files))

    def abort(self, status: Literal["FAILED", "KILLED"]) -> None:
        """Say that the sweep did not come to its end, nor did the trials that were running."""
        self._do(self._abort, status)

    def close(self) -> None:
        """Wait until all is logged, or kept to be sent later."""
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _do(self, task: Callable[..., None], *arguments: Any) -> None:
        if self._tracking is not None:
            self._tasks.put(partial(task, *arguments))

    def _work(self) -> None:
        next_sample = time.monotonic() + self._every_s
        while True:
            try:
                task = self._tasks.get(timeout=max(0.0, next_sample - time.monotonic()))
                if task is None:
                    return
            except queue.Empty:
                task = self._sample
            if task == self._sample or time.monotonic() >= next_sample:
                next_sample = time.monotonic() + self._every_s
                self._tried(self._sample)
            if task != self._sample:
                self._tried(task)

    def _tried(self, task: Callable[[], None]) -> None:
        try:
            task()
        except (TrackingError, OSError) as error:  # a damaged file of a run; the sweep goes on without it
            self._problem = error if isinstance(error, TrackingError) else TrackingError(str(error))

    def _sample(self) -> None:
        if self._parent is not None:
            self._parent.log_epoch(self._sampler.sample(), int(time.time()))

    def _tags(self, model: str) -> dict[str, str]:
        source = Path(raymm.__file__).parent
        return {**run_tags(model, self._data, source), "raymm.sweep": self._folder.name}

    def _start(self, settings: Mapping[str, str]) -> None:
        self._parent = start_or_resume_run(
            self._needed(), self._folder / FOLDER / _PARENT, self._folder.name, {**self._tags(settings["models"])}
        )
        self._parent.log_params({**settings, "data": self._data})

    def _started(self, trial: TrialRecord, settings: Mapping[str, Any]) -> None:
        parent = self._parent.run_id if self._parent is not None else ""
        tags = {**self._tags(trial.model), "raymm.trial": trial.name, "raymm.attempts": str(trial.attempts)}
        if parent:
            tags[MLFLOW_PARENT_RUN_ID] = parent
        else:
            self._orphans.add(trial.name)
        run = start_or_resume_run(self._needed(), self._folder / FOLDER / trial.name, trial.name, tags)
        run.log_params({**settings, "data": self._data})
        self._runs[trial.name] = run

    def _epochs(self, name: str, records: Sequence[Mapping[str, Any]]) -> None:
        for record in records:
            metrics = {part: record[part] for part in _LOGGED if record.get(part)}
            self._runs[name].log_epoch(metrics, record["epoch"])

    def _changed(self, trial: TrialRecord, settings: Mapping[str, Any]) -> None:
        run = self._runs[trial.name]
        run.log_params(settings)  # MLflow keeps the first values; the new ones become tags
        schedule = [dataclasses.asdict(stage) for stage in trial.schedule]
        run.set_tags({"raymm.schedule": json.dumps(schedule)[:_LONGEST]})
        run.log_epoch({"schedule": dict(trial.values)}, trial.schedule[-1].epoch)

    def _ended(self, trial: TrialRecord) -> None:
        run = self._runs[trial.name]
        tags: dict[str, str] = {"raymm.state": trial.state}
        if trial.reason:
            tags["raymm.reason"] = trial.reason[:_LONGEST]
        run.set_tags(tags)
        if trial.value is not None:
            run.log_epoch({"best_value": trial.value}, trial.best_epoch)
        run.finish(_STATUS[trial.state])
        self._done.add(trial.name)

    def _finish(self, record: SweepRecord, files: Sequence[Path]) -> None:
        parent = self._parent
        if parent is None:
            return
        for name in sorted(self._orphans) if parent.run_id else ():
            self._runs[name].set_tags({MLFLOW_PARENT_RUN_ID: parent.run_id})
        for model in record.models:
            counts: dict[str, float] = {
                "finished": model.count("finished"),
                "stopped": model.count("stopped"),
                "failed": model.count("failed"),
            }
            best = {"best": model.winner.mean} if model.winner is not None else {}
            parent.log_epoch({model.model: {**counts, **best}}, record.sessions)
        for path in files:
            parent.log_artefact(path)
        parent.finish()

    def _abort(self, status: Literal["FAILED", "KILLED"]) -> None:
        open_runs = [run for name, run in self._runs.items() if name not in self._done]
        for run in [*open_runs, *([self._parent] if self._parent is not None else [])]:
            run.finish(status)

    def _needed(self) -> Tracking:
        if self._tracking is None:
            raise TrackingError("no store", "one to track the sweep in", self._folder.name)
        return self._tracking


@contextlib.contextmanager
def tracked_sweep(
    tracking: Tracking | None, folder: Path, data: str, settings: Mapping[str, str], sample_every_s: float = 30.0
) -> Iterator[SweepTracker]:
    """Track a sweep while the body runs.

    Args:
        tracking: The store, which need not answer; None tracks nothing.
        folder: The sweep's folder, whose name is the parent run's.
        data: Fingerprint of the prepared set.
        settings: What the sweep does, with `models` among it.
        sample_every_s: Seconds between samples of this machine.
    """
    tracker = SweepTracker(tracking, folder, data, sample_every_s)
    tracker.start(settings)
    try:
        yield tracker
    except BaseException as error:
        tracker.abort("KILLED" if isinstance(error, KeyboardInterrupt) else "FAILED")
        raise
    finally:
        tracker.close()
