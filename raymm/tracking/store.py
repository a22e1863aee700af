"""Where runs and models are tracked: an MLflow server, or an embedded sqlite store."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import socket
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import RESOURCE_ALREADY_EXISTS, ErrorCode
from mlflow.tracking.registry import UnsupportedModelRegistryStoreURIException
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from raymm.config import check, setting
from raymm.errors import TrackingError

T = TypeVar("T")

_DATABASE = "mlflow.db"
_ARTEFACTS = "mlartifacts"
_PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
_FAILURES = (MlflowException, SQLAlchemyError, OSError, ImportError)


@dataclass(frozen=True)
class TrackingConfig:
    """How runs are tracked; the address of the server is not among it, as addresses may carry passwords."""

    experiment: str = setting("raymm", "MLflow experiment that runs are filed under")
    probe_timeout_s: float = setting(5.0, "how long a tracking server may take to answer at all", unit="seconds", gt=0)
    retry_after_s: float = setting(60.0, "pause after a failure before the server is tried again", unit="seconds", ge=0)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)


class Tracking:
    """One MLflow store, reached by a client of its own: the process-wide tracking address is neither read nor set.

    Args:
        uri: The store's address; it may hold credentials and is never shown.
        artefacts: Where files of new experiments go if the store is a database without a server.
        config: Experiment and patience.
        clock: Seconds since the epoch.
    """

    def __init__(self, uri: str, artefacts: Path, config: TrackingConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.shown_uri = redact(uri)
        self._uri = uri
        self._artefacts = artefacts
        self._client: MlflowClient | None = None
        self._failed_at: float | None = None
        self._failure = ""

    def __repr__(self) -> str:
        """Show the address without credentials."""
        return f"Tracking({self.shown_uri!r})"

    def reach(self, doing: str, action: Callable[[MlflowClient], T]) -> T:
        """Let `action` use the store, and turn whatever goes wrong there into a `TrackingError`.

        A server that does not answer is noticed within `probe_timeout_s`, and neither such a one nor one that failed
        slowly is tried again for `retry_after_s`: MLflow's own retries would hold up the caller for minutes each time.

        Args:
            doing: What is being done, for the message.
            action: Called with the client.

        Raises:
            TrackingError: The store does not answer, or refuses.
        """
        now = self.clock()
        if self._failed_at is not None and now - self._failed_at < self.config.retry_after_s:
            raise self._error(doing, f"{self._failure} ({now - self._failed_at:.0f} s ago)")
        answers = False
        try:
            _probe(self._uri, self.config.probe_timeout_s)
            answers = True
            if self._client is None:
                self._client = self._connect()
            with quiet():
                result = action(self._client)
        except _FAILURES as error:
            reason = self.scrub(str(error))
            if not answers or self.clock() - now > self.config.probe_timeout_s:
                self._failed_at, self._failure = now, reason
            raise self._error(doing, reason) from None  # the cause's text may hold the credentials
        self._failed_at = None
        return result

    def retry_now(self) -> None:
        """Forget an earlier failure, so that the next call tries again at once."""
        self._failed_at = None

    def experiment_id(self, client: MlflowClient, name: str) -> str:
        """Return the id of the experiment `name`; a missing one is created."""
        found = client.get_experiment_by_name(name)
        if found is None:
            location = self._artefacts.absolute().as_uri() if _is_database(self._uri) else None
            try:
                return str(client.create_experiment(name, artifact_location=location))
            except MlflowException as error:
                if error.error_code != ErrorCode.Name(RESOURCE_ALREADY_EXISTS):
                    raise
                found = client.get_experiment_by_name(name)  # somebody else was faster
        if found is None or found.lifecycle_stage != "active":
            raise TrackingError(
                f"experiment {name!r} was deleted",
                "an active experiment",
                self.shown_uri,
                "restore it with `mlflow experiments restore`, or choose another name",
            )
        return str(found.experiment_id)

    def scrub(self, text: str) -> str:
        """Take this store's address and credentials out of a message."""
        parts = urlsplit(self._uri)
        user = parts.netloc.rpartition("@")[0]
        written = [self._uri, user, *user.split(":"), parts.query, *(value for _, value in parse_qsl(parts.query))]
        secrets = {*written, *(unquote(secret) for secret in written)}
        for secret in sorted(filter(None, secrets), key=len, reverse=True):
            text = text.replace(secret, self.shown_uri if secret == self._uri else "***")
        return text

    def _connect(self) -> MlflowClient:
        """Make the client; a database that is not there is created, by one process at a time."""
        database = Path(self._uri.removeprefix("sqlite:///").partition("?")[0])
        if not self._uri.startswith("sqlite:///") or database.name in ("", ":memory:"):
            return MlflowClient(self._uri, registry_uri=self._uri)
        database.parent.mkdir(parents=True, exist_ok=True)
        with quiet(), _locked(database.with_name(f".{database.name}.lock")):
            return MlflowClient(self._uri, registry_uri=self._uri)

    def _error(self, doing: str, reason: str) -> TrackingError:
        remedy = "start the server or check its address and credentials"
        if "database schema" in reason:
            remedy = f"back the database up and run `mlflow db upgrade {self.shown_uri}`, or choose another folder"
        elif _is_database(self._uri):
            remedy = "check that the database can be written, or choose another tracking address"
        return TrackingError(f"{doing} failed: {reason}", "an MLflow store that answers", self.shown_uri, remedy)


def open_tracking(
    uri: str | None,
    folder: Path,
    config: TrackingConfig | None = None,
    clock: Callable[[], float] = time.time,
) -> Tracking:
    """Open a store; without an address, the sqlite database `folder/mlflow.db` with its files below `folder`.

    A server that does not answer is no error here, as training goes on without it; what can never work is.
    Creating the sqlite database takes MLflow several seconds, once.

    Args:
        uri: Address of an MLflow server or of a database; None or empty for the embedded store.
        folder: Folder of runs, for the embedded store; made if it is not there.
        config: Experiment and patience.
        clock: Seconds since the epoch.

    Raises:
        TrackingError: An address of a kind that MLflow does not know, a driver that is not installed, or an sqlite
            database that cannot be opened.
    """
    address = uri or f"sqlite:///{folder.absolute() / _DATABASE}"
    if not uri and "?" in address:
        raise TrackingError("'?' in the path", "a path without it", str(folder), "rename the folder")
    tracking = Tracking(address, folder / _ARTEFACTS, config or TrackingConfig(), clock)
    if address.startswith("sqlite:"):
        tracking.reach("opening the database", lambda client: client.search_experiments(max_results=1))
        return tracking
    try:
        if _is_database(address):
            make_url(address).get_dialect().import_dbapi()  # without connecting
        else:
            MlflowClient(address, registry_uri=address)
    except (UnsupportedModelRegistryStoreURIException, ArgumentError, ImportError) as error:
        raise TrackingError(
            f"no tracking store: {tracking.scrub(str(error))}",
            "http(s)://..., sqlite:///..., databricks, or a database whose driver is installed",
            tracking.shown_uri,
            "mend the address, or leave it out for an embedded store",
        ) from None
    except _FAILURES as error:
        if urlsplit(address).scheme in ("", "file"):
            raise TrackingError(
                f"MLflow's store of plain files: {tracking.scrub(str(error))}",
                "http(s)://..., sqlite:///... or another database",
                tracking.shown_uri,
                "leave the address out for an embedded sqlite store",
            ) from None
    return tracking


def redact(uri: str) -> str:
    """Return an address without user, password and query, to be shown and logged."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    shown = SplitResult(parts.scheme, f"***@{host}" if "@" in parts.netloc else host, parts.path, "", "")
    text = shown.geturl() if parts.netloc else uri.partition("?")[0]
    return text + ("?***" if parts.query else "")


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Hold back MLflow's and Alembic's progress notes; warnings and errors are shown as ever."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    levels = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(max(logger.level, logging.WARNING))
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _is_database(uri: str) -> bool:
    return urlsplit(uri).scheme.partition("+")[0] in ("sqlite", *_PORTS)


def _probe(uri: str, timeout_s: float) -> None:
    """Raise `OSError` if nobody answers at an address; any answer will do, refusals are MLflow's business."""
    parts = urlsplit(uri)
    kind = parts.scheme.partition("+")[0]
    if kind in _PORTS and parts.hostname:
        socket.create_connection((parts.hostname, parts.port or _PORTS[kind]), timeout=timeout_s).close()
    if kind not in ("http", "https"):
        return
    address = SplitResult(parts.scheme, parts.netloc.rpartition("@")[2], parts.path.rstrip("/") + "/health", "", "")
    try:
        with urllib.request.urlopen(address.geturl(), timeout=timeout_s):
            return
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            raise OSError(f"the server answers with {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        if not isinstance(error.reason, ssl.SSLError):  # certificates are checked by MLflow, with its own settings
            raise OSError(f"no answer within {timeout_s:g} s: {error.reason}") from None
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(f"no MLflow server: {error}") from None


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[Any]:
    with path.open("a") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        yield stream
