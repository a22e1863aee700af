"""MLflow for any run of Ray Train: a callback that logs what is reported, one run however often training restarts."""

from __future__ import annotations

import numbers
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ray.train import UserCallback

from raymm.tracking.runs import Run, open_run, start_or_resume_run
from raymm.tracking.store import open_tracking


class MlflowCallback(UserCallback):
    """Log the metrics that rank 0 reports to MLflow, each step once.

    For trainings that are not raymm's own; `raymm train` logs from its driver. Give it to Ray Train's
    `RunConfig(callbacks=[...])`. It works in Ray Train's controller process, which opens the store when the first
    report comes; only plain data travel there. Workers that are restarted, and a driver that is started again with the
    same `folder`, go on with the same MLflow run. A server that does not answer holds up nothing: what was not sent
    waits in `folder`, and is sent with the next report.

    Args:
        folder: Where the run's identity and what waits are kept; on storage that the controller's node sees.
        name: Name of the run.
        uri: Address of the store; None for an sqlite database in `folder`'s parent. It may hold credentials, which are
            neither shown nor written.
        step: Name of the reported metric that counts steps; reports without it are counted from 1.
        params: Nested plain settings to log.
        tags: Tags to set.
    """

    def __init__(
        self,
        folder: Path,
        name: str,
        uri: str | None = None,
        step: str = "epoch",
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> None:
        self._folder, self._name, self._uri, self._step = folder.absolute(), name, uri, step
        self._params, self._tags = dict(params or {}), dict(tags or {})
        self._run: Run | None = None
        self._reports = 0

    def __repr__(self) -> str:
        """Show the run, and no address."""
        return f"MlflowCallback({self._name!r}, {str(self._folder)!r})"

    def after_report(self, run_context: Any, metrics: list[dict[str, Any]], checkpoint: Any) -> None:  # noqa: ARG002
        """Log what rank 0 reported; see `ray.train.UserCallback`. What is no number is left out."""
        self._reports += 1
        values = {
            name: float(value)
            for name, value in metrics[0].items()
            if isinstance(value, numbers.Real) and not isinstance(value, bool)
        }
        self._opened().log_epoch(values, int(values.get(self._step, self._reports)))

    def after_exception(self, run_context: Any, worker_exceptions: Mapping[int, Exception]) -> None:  # noqa: ARG002
        """Mark the run as failed, and say why; a restart marks it as running again with its next report."""
        rank, error = next(iter(worker_exceptions.items()))
        run = self._opened()
        run.set_tags({"raymm.failure": f"worker {rank}: {error}"[:5000]})
        run.finish("FAILED")
        self._run = None

    def _opened(self) -> Run:
        if self._run is None:
            tracking = open_tracking(self._uri, self._folder.parent)
            self._run = start_or_resume_run(tracking, self._folder, self._name, self._tags)
            if self._params:
                self._run.log_params(self._params)
        return self._run


def finish_tracked(folder: Path, uri: str | None = None) -> None:
    """Mark the run of a callback as finished, once Ray Train's `fit` has returned: no hook of Ray Train says so.

    Args:
        folder: As given to the callback.
        uri: As given to the callback.

    Raises:
        TrackingError: The folder belongs to no run.
    """
    open_run(open_tracking(uri, folder.absolute().parent), folder.absolute()).finish()
