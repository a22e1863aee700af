from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from raymm.errors import ConfigError, TrackingError
from raymm.tracking.store import Tracking, TrackingConfig, open_tracking, quiet, redact


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def answering(code: int) -> Iterator[tuple[int, list[str]]]:
    """Run a server that answers every request with `code`."""
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(code)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            del format, args

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_port, asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_the_embedded_store_stays_below_its_folder(
    store_folder: Path, tracking: Tracking, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert (store_folder / "mlflow.db").is_file()
    location = tracking.reach(
        "looking", lambda client: client.get_experiment(tracking.experiment_id(client, "raymm")).artifact_location
    )
    assert location == (store_folder / "mlartifacts").as_uri()
    assert tracking.experiment_id(tracking.reach("", lambda client: client), "raymm")
    assert not list(tmp_path.iterdir())  # neither ./mlruns nor ./mlflow.db


def test_an_experiment_is_created_once(tracking: Tracking) -> None:
    first, again = (tracking.reach("", lambda client: tracking.experiment_id(client, "other")) for _ in range(2))
    assert first == again


def test_a_deleted_experiment_is_named(tracking: Tracking) -> None:
    identifier = tracking.reach("", lambda client: tracking.experiment_id(client, "gone"))
    tracking.reach("", lambda client: client.delete_experiment(identifier))
    with pytest.raises(TrackingError, match="'gone' was deleted"):
        tracking.reach("", lambda client: tracking.experiment_id(client, "gone"))


def test_a_refusal_is_an_error_and_does_not_stop_the_next_call(tracking: Tracking) -> None:
    with pytest.raises(TrackingError, match="looking for a run failed"):
        tracking.reach("looking for a run", lambda client: client.get_run("0" * 32))
    assert tracking.reach("", lambda client: client.search_experiments(max_results=1))


def test_no_password_is_ever_shown(tmp_path: Path) -> None:
    uri = f"http://anna:s3%20cret@127.0.0.1:{free_port()}/mlflow?token=t0ken"
    assert redact(uri).endswith("/mlflow?***")
    tracking = open_tracking(uri, tmp_path)
    with pytest.raises(TrackingError) as caught:
        tracking.reach("asking", lambda client: client.search_experiments())
    said = f"{tracking!r} {tracking.shown_uri} {caught.value!r} {tracking.scrub(f'bad {uri} and s3 cret, t0ken')}"
    assert "127.0.0.1" in said
    assert not [secret for secret in ("anna", "cret", "t0ken") if secret in said]
    assert caught.value.__cause__ is None


def test_addresses_without_secrets_are_shown_whole() -> None:
    for uri in ("sqlite:////a b/mlflow.db", "http://host:5000", "https://host/path", "databricks", "databricks://me"):
        assert redact(uri) == uri
    assert redact("postgresql://u:p@db:5432/mlflow") == "postgresql://***@db:5432/mlflow"


def test_a_dead_server_costs_little_and_is_not_asked_again_at_once(tmp_path: Path) -> None:
    tracking = open_tracking(f"http://127.0.0.1:{free_port()}", tmp_path)
    began = time.monotonic()
    for _ in range(20):
        with pytest.raises(TrackingError, match="no answer|refused"):
            tracking.reach("asking", lambda client: client.search_experiments())
    assert time.monotonic() - began < 5.0


def test_the_server_is_asked_again_after_the_pause(tmp_path: Path) -> None:
    now = [1000.0]
    with answering(503) as (port, asked):
        config = TrackingConfig(retry_after_s=60.0)
        tracking = open_tracking(f"http://127.0.0.1:{port}", tmp_path, config, clock=lambda: now[0])
        for seconds in (0.0, 30.0, 59.0, 61.0):
            now[0] = 1000.0 + seconds
            with pytest.raises(TrackingError, match="503"):
                tracking.reach("asking", lambda client: client.search_experiments())
        assert asked == ["/health", "/health"]
        tracking.retry_now()
        with pytest.raises(TrackingError, match="503"):
            tracking.reach("asking", lambda client: client.search_experiments())
        assert len(asked) == 3


def test_a_server_that_hangs_is_left_after_the_time_out(tmp_path: Path) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = TrackingConfig(probe_timeout_s=0.3)
        tracking = open_tracking(f"http://127.0.0.1:{silent.getsockname()[1]}", tmp_path, config)
        began = time.monotonic()
        with pytest.raises(TrackingError, match="timed out"):
            tracking.reach("asking", lambda client: client.search_experiments())
        assert time.monotonic() - began < 3.0


@pytest.mark.parametrize("uri", ["gopher://host", "./mlruns", "file:///tmp/mlruns", "postgresql+nodriver://h/db"])
def test_what_can_never_work_is_refused_at_once(tmp_path: Path, uri: str) -> None:
    with pytest.raises(TrackingError) as caught:
        open_tracking(uri, tmp_path)
    assert caught.value.remedy


def test_a_database_that_is_none_is_named(tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_text("this is no database, and long enough to be looked at " * 20)
    with pytest.raises(TrackingError, match="opening the database failed"):
        open_tracking(None, tmp_path)


def test_bad_settings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="probe_timeout_s"):
        TrackingConfig(probe_timeout_s=0.0)
    with pytest.raises(TrackingError, match="rename"):
        open_tracking(None, tmp_path / "what?")


def test_notes_are_held_back_and_warnings_are_not(caplog: pytest.LogCaptureFixture) -> None:
    loggers = [logging.getLogger("mlflow"), logging.getLogger("alembic")]
    before = [logger.level for logger in loggers]
    with quiet():
        assert not logging.getLogger("mlflow.store.db.utils").isEnabledFor(logging.INFO)
        assert all(logger.isEnabledFor(logging.WARNING) for logger in loggers)
    assert [logger.level for logger in loggers] == before
