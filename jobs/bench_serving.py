"""Serve a registered model by `mlflow models serve`, ask it over HTTP, and print latencies and statuses.

    python jobs/bench_serving.py models:/raymm-sieoug@champion --requests 1000
    python jobs/bench_serving.py models:/raymm-sieoug@champion --tracking-uri sqlite:///mlflow.db --users 50

Each request asks for the k best items in all domains, one after the other on a connection that stays. Then come
malformed requests, each on a connection of its own, which have to be answered with a status of the 4xx kind; the job
fails if one is not. (Lists in lists, thousands deep, are not among them: MLflow's own reader answers 500 before the
model is asked.)
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from raymm.tracking.served import read_served
from raymm.tracking.store import open_tracking
from raymm.verbs.pull import pull

JSON = "application/json"
START_S = 180.0
FRAME = {"columns": ["user"], "data": [["somebody"]]}
MALFORMED: dict[str, tuple[str, bytes]] = {
    "nothing": (JSON, b""),
    "half of a JSON text": (JSON, b'{"dataframe_split": {'),
    "bytes that are no UTF-8": (JSON, b"\xff\xfe\x00"),
    "a list": (JSON, b"[]"),
    "an empty object": (JSON, b"{}"),
    "a number as frame": (JSON, json.dumps({"dataframe_split": 5}).encode()),
    "a frame without columns": (JSON, json.dumps({"dataframe_records": [{}]}).encode()),
    "another column": (JSON, json.dumps({"dataframe_split": {"columns": ["item"], "data": [["a"]]}}).encode()),
    "rows too long": (JSON, json.dumps({"dataframe_split": {"columns": ["user"], "data": [["a", "b"]]}}).encode()),
    "a number as user": (JSON, json.dumps({"dataframe_records": [{"user": 7}]}).encode()),
    "null as user": (JSON, json.dumps({"dataframe_records": [{"user": None}]}).encode()),
    "NaN as user": (JSON, b'{"dataframe_records": [{"user": NaN}]}'),
    "an object as user": (JSON, json.dumps({"dataframe_records": [{"user": {"a": 1}}]}).encode()),
    "an empty user": (JSON, json.dumps({"dataframe_records": [{"user": ""}]}).encode()),
    "a user of ten million letters": (JSON, json.dumps({"dataframe_records": [{"user": "a" * 10**7}]}).encode()),
    "half a surrogate pair": (JSON, b'{"dataframe_records": [{"user": "\\ud800"}]}'),
    "an unknown domain": (JSON, json.dumps({"dataframe_records": [{"user": "a", "domain": "toys"}]}).encode()),
    "k = 0": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"k": 0}}).encode()),
    "k = -1": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"k": -1}}).encode()),
    "k = 1.5": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"k": 1.5}}).encode()),
    "k as a word": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"k": "many"}}).encode()),
    "k = NaN": (JSON, b'{"dataframe_split": {"columns": ["user"], "data": [["a"]]}, "params": {"k": NaN}}'),
    "params as a list": (JSON, json.dumps({"dataframe_split": FRAME, "params": [1]}).encode()),
    "an unknown candidate": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"candidates": ["no"]}}).encode()),
    "candidates as a word": (JSON, json.dumps({"dataframe_split": FRAME, "params": {"candidates": "no"}}).encode()),
    "an answer of a million rows": (
        JSON,
        json.dumps({"dataframe_split": {**FRAME, "data": [["a"]] * 10_000}, "params": {"k": 10**9}}).encode(),
    ),
    "another kind of content": ("text/plain", b"user"),
    "CSV without the column": ("text/csv", b"item\na\n"),
    "CSV that is no UTF-8": ("text/csv", b"user\n\xff\xfe\n"),
}


def main() -> int:
    """Serve, ask, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="models:/NAME@ALIAS")
    parser.add_argument("--tracking-uri", help="MLflow server or database (default: the store in this folder)")
    parser.add_argument("--requests", type=int, default=1000, help="requests (default: 1000)")
    parser.add_argument("--users", type=int, default=1, help="users of a request (default: 1)")
    parser.add_argument("--k", type=int, default=10, help="items for each user and domain (default: 10)")
    chosen = parser.parse_args()
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    uri = chosen.tracking_uri or f"sqlite:///{Path('mlflow.db').absolute()}"
    with tempfile.TemporaryDirectory() as scratch:
        domains = read_served(pull(chosen.model, Path(scratch) / "model", open_tracking(uri, Path(scratch))).folder)
        users = np.concatenate([domain.user_ids for domain in domains])
    drawn = np.random.default_rng(0).choice(users, (chosen.requests, chosen.users))
    with served(chosen.model, uri) as port:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        statuses: Counter[int] = Counter()
        times = []
        for row in drawn.tolist():
            body = json.dumps({"dataframe_records": [{"user": user} for user in row], "params": {"k": chosen.k}})
            start = time.perf_counter()
            statuses[ask(connection, JSON, body.encode())[0]] += 1
            times.append(time.perf_counter() - start)
        found = {name: ask_alone(port, *request)[0] for name, request in MALFORMED.items()}
    middle = np.percentile(times, [50, 95, 99]) * 1000
    _say(f"{len(times):,} requests of {chosen.users} users, k = {chosen.k}, {len(domains)} domains: {dict(statuses)}")
    _say(f"milliseconds: p50 {middle[0]:.1f}, p95 {middle[1]:.1f}, p99 {middle[2]:.1f}, max {max(times) * 1000:.1f}")
    _say(f"malformed: {len(found)} requests, statuses {dict(Counter(found.values()))}")
    wrong = {name: status for name, status in found.items() if not 400 <= status < 500}
    _say("\n".join(f"  {name}: {status}" for name, status in wrong.items()) or "  each was refused")
    return 1 if wrong or set(statuses) != {200} else 0


@contextlib.contextmanager
def served(model: str, tracking_uri: str) -> Iterator[int]:
    """Run `mlflow models serve` on a free port of this machine until the body ends; yield the port."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    command += ["--host", "127.0.0.1", "--port", str(port)]
    folder = str(Path(sys.executable).parent)
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": tracking_uri,
        "PATH": f"{folder}{os.pathsep}{os.environ['PATH']}",
    }
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            deadline = time.monotonic() + START_S
            while not _answers(port):
                if process.poll() is not None or time.monotonic() > deadline:
                    log.seek(0)
                    raise RuntimeError("the server did not start:\n" + log.read().decode(errors="replace")[-2000:])
                time.sleep(0.2)
            yield port
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 15)  # the server runs as a child of what was started
            process.wait()


def ask(connection: http.client.HTTPConnection, kind: str, body: bytes) -> tuple[int, str]:
    """Post one request and read the whole answer."""
    connection.request("POST", "/invocations", body, {"Content-Type": kind})
    answer = connection.getresponse()
    return answer.status, answer.read().decode(errors="replace")


def ask_alone(port: int, kind: str, body: bytes) -> tuple[int, str]:
    """Post one request on a connection of its own; status 0 where the server broke off."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        return ask(connection, kind, body)
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error)
    finally:
        connection.close()


def _answers(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/ping")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
