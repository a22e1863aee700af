from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import ray

from raymm.data.prepared import open_prepared
from raymm.errors import ArtefactError
from raymm.launch.session import Session, connect, plain_errors

pytestmark = pytest.mark.ray


def test_local_cluster_promises_the_cpus_that_were_wanted(ray_cluster: Session) -> None:
    assert ray_cluster.started
    assert ray_cluster.cpus >= 4
    assert ray_cluster.nodes == 1
    assert ray_cluster.address.rpartition(":")[2].isdigit()


def test_local_cluster_listens_on_this_machine_alone(ray_cluster: Session) -> None:
    class Worker:
        def ready(self) -> bool:
            return True

    worker = ray.remote(Worker).options(num_cpus=0).remote()
    assert ray.get(worker.ready.remote())
    this = psutil.Process()
    listening = {
        (process.name(), connection.laddr.ip)
        for process in (this, *this.children(recursive=True))
        for connection in process.net_connections("inet")
        if connection.status == psutil.CONN_LISTEN
    }
    ray.kill(worker)
    assert {"gcs_server", "raylet"} <= {name for name, _ in listening}
    assert {ip.removeprefix("::ffff:") for _, ip in listening} <= {"127.0.0.1", "::1"}


def test_second_connection_is_the_first(ray_cluster: Session) -> None:
    again = connect("10.255.255.1:6379")
    assert not again.started
    assert (again.address, again.cpus) == (ray_cluster.address, ray_cluster.cpus)


def test_errors_of_workers_come_out_as_they_were_raised(ray_cluster: Session, tmp_path: Path) -> None:
    task = ray.remote(open_prepared).remote(tmp_path)
    with pytest.raises(ArtefactError, match="no manifest") as caught, plain_errors():
        ray.get(task)
    assert type(caught.value) is ArtefactError
    with pytest.raises(ray.exceptions.RayTaskError, match="FileNotFoundError"), plain_errors():
        ray.get(ray.remote(os.path.getsize).remote(str(tmp_path / "nothing")))


def test_another_process_joins_by_address_or_by_what_ray_finds(ray_cluster: Session) -> None:
    code = "import sys; from raymm.launch.session import connect; print(connect(*sys.argv[1:]))"
    expected = Session(ray_cluster.address, False, 1, ray_cluster.cpus, ray_cluster.gpus)
    for arguments, found in (([ray_cluster.address], {}), ([], {"RAY_ADDRESS": ray_cluster.address})):
        told = subprocess.run(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **found},
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
        assert (told.stdout, told.stderr) == (f"{expected}\n", "")


def test_local_ray_that_does_not_start_is_an_error_of_the_cluster(tmp_path: Path) -> None:
    code = """
from raymm.errors import ClusterError
from raymm.launch.session import connect
try:
    connect("local")
except ClusterError as error:
    print(error.found)
"""
    folder = tmp_path / ("deep" * 30)  # more than a socket's path may have
    told = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "RAY_TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert told.stdout.startswith("no local Ray could be started: ")


@pytest.mark.slow  # Ray tries for twenty seconds
def test_cluster_that_refuses_the_token_is_an_error_and_no_reason_to_start_another(ray_cluster: Session) -> None:
    code = "from raymm.launch.session import connect; connect()"
    wrong = {"RAY_ADDRESS": ray_cluster.address, "RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **wrong}, capture_output=True, text=True, timeout=120
    )
    assert told.returncode != 0
    assert "raymm.errors.ClusterError" in told.stderr
    assert "compare RAY_AUTH_MODE and the token" in told.stderr


def test_wrong_addresses_are_named_at_once() -> None:
    code = """
from raymm.errors import ClusterError
from raymm.launch.session import connect
for address in ("127.0.0.1:1", "nonsense", "ray://127.0.0.1:1", "host:", ":6379", "localhost:x"):
    try:
        connect(address)
    except ClusterError as error:
        print(error.where, "|", error.found.split(":")[0])
"""
    began = time.monotonic()
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=True)
    assert told.stdout.splitlines() == [
        "127.0.0.1:1 | nobody answers",
        "nonsense | no address",
        "ray://127.0.0.1:1 | nobody answers",
        "host: | no address",
        ":6379 | no address",
        "localhost:x | no address",
    ]
    assert told.stderr == ""
    assert time.monotonic() - began < 60
