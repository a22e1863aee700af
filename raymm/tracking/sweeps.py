"""A sweep in MLflow: one parent run, one child run a trial, however often its driver is started again."""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

import raymm
from raymm.errors import TrackingError
from raymm.report.sweep_record import SweepRecord, TrialRecord
from raymm.tracking.identity import run_tags
from raymm.tracking.runs import Run, start_or_resume_run
from raymm.tracking.store import Tracking

FOLDER = "tracking"

_PARENT = "sweep"
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
    """

    def __init__(self, tracking: Tracking | None, folder: Path, data: str) -> None:
        self._problem: TrackingError | None = None
        self._tracking, self._folder, self._data = tracking, folder, data
        self._tasks: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="sweep tracking", daemon=True)
        self._parent: Run | None = None
        self._runs: dict[str, Run] = {}
        self._orphans: set[str] = set()

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

    def ended(self, trial: TrialRecord) -> None:
        """Say how a trial ended."""
        self._do(self._ended, trial)

    def finish(self, record: SweepRecord, files: Sequence[Path]) -> None:
        """Log the sweep's result and its files with the parent run, and end it."""
        self._do(self._finish, record, list(files))

    def close(self) -> None:
        """Wait until all is logged, or kept to be sent later."""
        if self._thread.is_alive():
            self._tasks.put(None)
            self._thread.join()

    def _do(self, task: Callable[..., None], *arguments: Any) -> None:
        if self._tracking is not None:
            self._tasks.put(partial(task, *arguments))

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            try:
                task()
            except (TrackingError, OSError) as error:  # a damaged file of a run; the sweep goes on without it
                self._problem = error if isinstance(error, TrackingError) else TrackingError(str(error))

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

    def _ended(self, trial: TrialRecord) -> None:
        run = self._runs[trial.name]
        tags: dict[str, str] = {"raymm.state": trial.state}
        if trial.reason:
            tags["raymm.reason"] = trial.reason[:5000]
        run.set_tags(tags)
        if trial.value is not None:
            run.log_epoch({"best_value": trial.value}, trial.best_epoch)
        run.finish(_STATUS[trial.state])

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

    def _needed(self) -> Tracking:
        if self._tracking is None:
            raise TrackingError("no store", "one to track the sweep in", self._folder.name)
        return self._tracking


@contextlib.contextmanager
def tracked_sweep(
    tracking: Tracking | None, folder: Path, data: str, settings: Mapping[str, str]
) -> Iterator[SweepTracker]:
    """Track a sweep while the body runs.

    Args:
        tracking: The store, which need not answer; None tracks nothing.
        folder: The sweep's folder, whose name is the parent run's.
        data: Fingerprint of the prepared set.
        settings: What the sweep does, with `models` among it.
    """
    tracker = SweepTracker(tracking, folder, data)
    tracker.start(settings)
    try:
        yield tracker
    finally:
        tracker.close()
