"""One MLflow run for one training, however often it is interrupted, and whether or not the server is there."""

from __future__ import annotations

import contextlib
import io
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Literal, TypeVar

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag

from raymm.errors import TrackingError
from raymm.tracking.identity import SPOOL, STATE, Identity, read_identity, write_identity
from raymm.tracking.records import metric_values, parameter_values
from raymm.tracking.spool import Spool
from raymm.tracking.store import Tracking

T = TypeVar("T")

_KEY_TAG = "raymm.run_key"
_CHANGED_TAG = "raymm.changed."
_BATCH = 100  # parameters, tags or metrics of one request; servers refuse more of the first two

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Conflict:
    """Something that the store holds with another value than was offered; it stays, as MLflow never changes it.

    Attributes:
        name: The parameter, or the metric and its step.
        stored: What the store holds.
        offered: What was offered when the run was resumed.
    """

    name: str
    stored: str
    offered: str


class Run:
    """One run, made by `start_or_resume_run` or `open_run`.

    What is logged goes to a file in the run's folder first and is then sent; what cannot be sent waits there. A store
    that does not answer therefore never raises here: training goes on, and `problem` says what is wrong.

    Args:
        tracking: The store.
        folder: Where the run's id and what waits are kept.
        identity: Who the run is.
        may_create: Create the run if the store has none of this identity.
    """

    def __init__(self, tracking: Tracking, folder: Path, identity: Identity, may_create: bool = True) -> None:
        self.problem: TrackingError | None = None
        self._tracking = tracking
        self._folder = folder
        self._identity = identity
        self._may_create = may_create
        self._spool = Spool(folder / SPOOL)
        self._conflicts: dict[str, Conflict] = {}
        self._stored: _Stored | None = None

    @property
    def run_id(self) -> str:
        """MLflow's id of the run; empty as long as the store has never been reached."""
        return self._identity.run_id

    @property
    def conflicts(self) -> tuple[Conflict, ...]:
        """Parameters and metrics that the store holds with other values than this process offered."""
        return tuple(self._conflicts.values())

    @property
    def waiting(self) -> int:
        """Number of records that have not reached the store."""
        return len(self._spool.records)

    def log_params(self, settings: Mapping[str, Any]) -> None:
        """Log nested plain settings under dotted names, long values cut.

        A setting that changed since the run was first started keeps its first value in MLflow; the new one is kept as
        the tag `raymm.changed.<name>` and listed in `conflicts`.

        Raises:
            TrackingError: A name that MLflow cannot take, or a value that is not plain data.
        """
        self._log({"op": "params", "values": parameter_values(settings)})

    def log_epoch(self, metrics: Mapping[str, Any], step: int) -> None:
        """Log numbers of one epoch, under names such as `ndcg_at_10`; a step that the store has is not logged again.

        Args:
            metrics: Names to numbers, may be nested.
            step: The epoch.

        Raises:
            TrackingError: A name that MLflow cannot take, or something that is no number.
        """
        self._log({"op": "metrics", "values": metric_values(metrics), "step": int(step), "time_ms": self._now_ms()})

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Set tags; later values replace earlier ones."""
        self._log({"op": "tags", "values": {name: str(value) for name, value in tags.items()}})

    def log_artefact(self, path: Path, into: str = "") -> None:
        """Upload a file, or all files of a folder.

        Args:
            path: The file or folder; it must stay where it is until it was sent.
            into: Folder among the run's artefacts.

        Raises:
            TrackingError: There is nothing at `path`.
        """
        if not path.exists():
            raise TrackingError("no such file or folder", "a report, a manifest, ...", str(path), "write it first")
        self._log({"op": "artefact", "path": str(path.absolute()), "into": into})

    def finish(self, status: Status = "FINISHED") -> None:
        """Say how the run ended; it can be resumed all the same."""
        self._log({"op": "status", "value": status, "time_ms": self._now_ms()})

    def flush(self) -> None:
        """Send all that waits, now.

        Raises:
            TrackingError: Something could not be sent; it is still there for the next time.
        """
        self._tracking.retry_now()
        self._deliver()
        if self.problem is not None:
            raise self.problem

    def _now_ms(self) -> int:
        return int(self._tracking.clock() * 1000)

    def _log(self, record: Mapping[str, Any]) -> None:
        self._spool.append(record)
        self._deliver()

    def _deliver(self) -> None:
        """Send what waits, oldest first; what the store refuses is kept and does not hold up the rest."""
        self.problem, left = None, []
        for record in self._spool.records:
            try:
                self._tracking.reach(f"logging {record['op']}", partial(self._send, record))
            except TrackingError as error:
                left.append(record)
                self._stored = None  # part of it may have arrived: look again before the next attempt
                if self.problem is None:
                    kept = f"{self._folder / SPOOL} keeps what was not sent; it is sent with the next that is logged"
                    self.problem = TrackingError(error.found, error.expected, error.where, f"{error.remedy}; {kept}")
        if len(left) < self.waiting:
            self._spool.keep(left)

    def _send(self, record: Mapping[str, Any], client: MlflowClient) -> None:
        if self._stored is None:
            self._stored = self._open(client)
        stored, run_id = self._stored, self.run_id
        match record["op"]:
            case "params":
                self._send_params(client, stored, record["values"])
            case "metrics":
                self._send_metrics(client, stored, record)
            case "tags":
                _send_tags(client, run_id, record["values"])
            case "artefact":
                _send_artefact(client, run_id, Path(record["path"]), record["into"])
            case "status" if record["value"] == "RUNNING":
                client.update_run(run_id, status="RUNNING")
            case "status":
                with contextlib.redirect_stdout(io.StringIO()):  # it prints the server's address, password included
                    client.set_terminated(run_id, record["value"], end_time=record["time_ms"])
            case unknown:
                raise TrackingError(f"a record {unknown!r}", "one that this version of raymm wrote", str(self._folder))

    def _open(self, client: MlflowClient) -> _Stored:
        """Look at the run in the store; if it has no id yet, find it by its key or create it."""
        if not self.run_id:
            run_id = self._find(client)
            self._identity = replace(self._identity, run_id=run_id)
            write_identity(self._folder, self._identity)
        run = client.get_run(self.run_id)
        if run.info.lifecycle_stage != "active":
            raise TrackingError(
                f"run {self.run_id} was deleted",
                "an active run",
                self._tracking.shown_uri,
                f"`mlflow runs restore --run-id {self.run_id}`, or remove {self._folder / STATE} to start another",
            )
        if _KEY_TAG not in run.data.tags:
            client.set_tag(self.run_id, _KEY_TAG, self._identity.key)
        return _Stored(dict(run.data.params), {})

    def _find(self, client: MlflowClient) -> str:
        who = self._identity
        experiment = self._tracking.experiment_id(client, who.experiment)
        found = client.search_runs([experiment], f"tags.`{_KEY_TAG}` = '{who.key}'", max_results=1)
        if found:
            return str(found[0].info.run_id)
        if not self._may_create:
            raise TrackingError(
                f"no run {who.name!r} of this folder in experiment {who.experiment!r}",
                "the store that the run was tracked in",
                self._tracking.shown_uri,
                "give the address of that store",
            )
        tags, start = {_KEY_TAG: who.key}, self._now_ms()
        run = client.create_run(experiment, tags=tags, run_name=who.name, start_time=start)
        return str(run.info.run_id)

    def _send_params(self, client: MlflowClient, stored: _Stored, values: Mapping[str, str]) -> None:
        new = {name: value for name, value in values.items() if name not in stored.params}
        changed = {name: value for name, value in values.items() if stored.params.get(name, value) != value}
        for part in _parts(list(new.items()), _BATCH):
            client.log_batch(self.run_id, params=[Param(name, value) for name, value in part])
            stored.params.update(part)
        _send_tags(client, self.run_id, {f"{_CHANGED_TAG}{name}": value for name, value in changed.items()})
        for name, value in changed.items():
            self._conflicts[name] = Conflict(name, stored.params[name], value)

    def _send_metrics(self, client: MlflowClient, stored: _Stored, record: Mapping[str, Any]) -> None:
        step, time_ms = record["step"], record["time_ms"]
        new = {}
        for name, text in record["values"].items():
            if name not in stored.histories:
                history = client.get_metric_history(self.run_id, name)
                stored.histories[name] = {metric.step: metric.value for metric in history}
            value, present = float(text), stored.histories[name].get(step)
            if present is None:
                new[name] = value
            elif not _same(present, value):
                self._conflicts[f"{name}, step {step}"] = Conflict(f"{name}, step {step}", repr(present), repr(value))
        for part in _parts(list(new.items()), _BATCH):
            client.log_batch(self.run_id, metrics=[Metric(name, value, time_ms, step) for name, value in part])
            for name, value in part:
                stored.histories[name][step] = value


def start_or_resume_run(
    tracking: Tracking, folder: Path, name: str, tags: Mapping[str, str] | None = None, run_id: str = ""
) -> Run:
    """Start a run, or go on with the one that `folder` belongs to: one folder is one run, however often it restarts.

    The run's identity is written to `folder` before the store is asked, and stands among the run's tags: a crash at
    any moment leaves neither a second run nor a lost one. Where the folder's run lives in another store or experiment
    than `tracking`, it is looked for here (stores are moved), or started anew.

    Args:
        tracking: The store; it need not answer.
        folder: The run's folder, made if it is not there.
        name: Name of the run, for people.
        tags: Tags to set, see `run_tags`; `mlflow.parentRunId` makes it a child of another run.
        run_id: Go on with this run of the store, created elsewhere.

    Raises:
        TrackingError: The folder's files are damaged, or the folder belongs to another run than `run_id`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    experiment = tracking.config.experiment
    identity = read_identity(folder) or Identity(uuid.uuid4().hex, tracking.shown_uri, experiment, name, run_id)
    if (identity.store, identity.experiment) != (tracking.shown_uri, experiment):
        identity = replace(identity, store=tracking.shown_uri, experiment=experiment, run_id="")
    if run_id and identity.run_id not in ("", run_id):
        raise TrackingError(
            f"the folder of run {identity.run_id}", f"that of run {run_id}", str(folder), "choose another folder"
        )
    identity = replace(identity, run_id=run_id or identity.run_id)
    write_identity(folder, identity)
    run = Run(tracking, folder, identity)
    run._log({"op": "status", "value": "RUNNING"})
    if tags:
        run.set_tags(tags)
    return run


def open_run(tracking: Tracking, folder: Path) -> Run:
    """Open the run that `folder` belongs to, without changing its status: to add results, or to send what waits.

    Raises:
        TrackingError: The folder belongs to no run.
    """
    identity = read_identity(folder)
    if identity is None:
        raise TrackingError("no tracked run", f"a folder with {STATE}", str(folder), "train with tracking on")
    never_reached = not identity.run_id
    if identity.store != tracking.shown_uri:  # the folder was moved together with its store, or this is another store
        identity = replace(identity, store=tracking.shown_uri, run_id="")
    return Run(tracking, folder, identity, may_create=never_reached)


@dataclass(frozen=True)
class _Stored:
    """What the store holds of a run: parameters, and metric name to step to value as far as they were asked for."""

    params: dict[str, str]
    histories: dict[str, dict[int, float]]


def _send_tags(client: MlflowClient, run_id: str, tags: Mapping[str, str]) -> None:
    for part in _parts(list(tags.items()), _BATCH):
        client.log_batch(run_id, tags=[RunTag(name, value) for name, value in part])


def _send_artefact(client: MlflowClient, run_id: str, path: Path, into: str) -> None:
    if path.is_dir():
        client.log_artifacts(run_id, str(path), into or None)
    elif path.is_file():
        client.log_artifact(run_id, str(path), into or None)
    else:
        raise TrackingError("no such file any more", "the artefact to send", str(path), "restore it")


def _same(stored: float, offered: float) -> bool:
    limit = sys.float_info.max  # databases hold the largest number in place of infinity
    return stored == min(max(offered, -limit), limit) or (stored != stored and offered != offered)


def _parts(values: Sequence[T], size: int) -> Iterator[list[T]]:
    iterator = iter(values)
    while part := list(islice(iterator, size)):
        yield part
