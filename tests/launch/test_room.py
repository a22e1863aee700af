"""Nodes that do not live yet: asked of a real autoscaler, and waited for; a local cluster is not waited for."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil
import pytest

from raymm.launch.room import wait_for_room
from raymm.launch.session import Session

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]

RAY = Path(sys.executable).with_name("ray")
HEAD = "f" * 51 + "00000"  # what the provider calls it
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "a-token-of-this-test-alone-0123456789abcdef"}
TYPES = {
    "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
    "worker": {"resources": {"CPU": 2}, "node_config": {}, "min_workers": 0, "max_workers": 1},
}
ASK = """
import sys, time
import ray
from raymm.launch.room import wait_for_room
from raymm.launch.session import connect

bundles = [{"CPU": 1.0}] * int(sys.argv[2])
session, began = connect(sys.argv[1]), time.monotonic()
wait_for_room(bundles, float(sys.argv[3]), "ask for less")
waited, began = time.monotonic() - began, time.monotonic()
wait_for_room(bundles[:2], float(sys.argv[3]))
print(session.cpus, int(ray.cluster_resources().get("CPU", 0)), waited, time.monotonic() - began)
"""


def test_where_there_is_room_nobody_waits(ray_cluster: Session, caplog: pytest.LogCaptureFixture) -> None:
    began = time.monotonic()
    wait_for_room([{"CPU": ray_cluster.cpus / 2}, {"CPU": ray_cluster.cpus / 2}])
    wait_for_room([])
    assert time.monotonic() - began < 5
    assert not caplog.records


def test_a_local_cluster_does_not_grow_and_is_not_waited_for(
    ray_cluster: Session, caplog: pytest.LogCaptureFixture
) -> None:
    began = time.monotonic()
    wait_for_room([{"CPU": 1.0}] * (ray_cluster.cpus + 1))
    wait_for_room([{"CPU": 1.0, "GPU": ray_cluster.gpus + 1}])
    assert time.monotonic() - began < 5
    assert not caplog.records


def test_a_cluster_without_an_autoscaler_is_waited_for_with_a_word(ray_cluster: Session) -> None:
    too_many = ray_cluster.cpus + 1
    before, there, waited, _, words = _asked(ray_cluster.address, too_many, 2.0)
    assert before == there == ray_cluster.cpus
    assert 2 <= waited < 30
    assert words == [
        f"waiting up to 2 s for nodes: {too_many} CPU needed, {ray_cluster.cpus} CPU there; not to wait: ask for less"
    ]
    _, _, waited, _, words = _asked(ray_cluster.address, too_many, 0.0)
    assert waited < 2
    assert not words


@pytest.mark.slow  # an autoscaler starts a node
def test_an_autoscaler_starts_the_nodes_that_are_asked_for(growing: str) -> None:
    before, there, waited, again, words = _asked(growing, 2, 90.0, TOKEN)
    assert (before, there) == (0, 2)
    assert 0 < waited < 90
    assert again < 1
    assert words == ["waiting up to 90 s for nodes: 2 CPU needed, 0 CPU there; not to wait: ask for less"]


def _asked(
    address: str, cpus: int, limit_s: float, token: Mapping[str, str] | None = None
) -> tuple[int, int, float, float, list[str]]:
    """Ask in another process; return CPUs before and after, seconds of both calls, and standard error."""
    command = [sys.executable, "-c", ASK, address, str(cpus), str(limit_s)]
    environment = {**os.environ, **(token or {})}
    told = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=150, check=False)
    assert told.returncode == 0, told.stderr
    before, there, waited, again = told.stdout.split()
    return int(before), int(there), float(waited), float(again), told.stderr.splitlines()


@pytest.fixture
def growing() -> Iterator[str]:
    """The address of a cluster whose head has no CPU, and whose autoscaler starts one node of two on this machine.

    `ray.cluster_utils.AutoscalingCluster` is not used: it ends every Ray of the machine, and wants a file that Ray's
    wheel does not have.
    """
    address = f"127.0.0.1:{_free_port()}"
    provider = {
        "type": "external",
        "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
        "gcs_address": address,
        "head_node_id": HEAD,
        "launch_multiple": True,
        "disable_node_updaters": True,
    }
    config = {"cluster_name": "growing", "max_workers": 1, "provider": provider, "available_node_types": TYPES}
    config |= dict.fromkeys(("auth", "docker", "file_mounts"), {})
    config |= dict.fromkeys(("cluster_synced_files", "initialization_commands", "setup_commands"), [])
    config |= dict.fromkeys(("head_setup_commands", "worker_setup_commands"), [])
    config |= dict.fromkeys(("head_start_ray_commands", "worker_start_ray_commands"), [])
    config |= {"head_node_type": "ray.head.default", "idle_timeout_minutes": 5, "upscaling_speed": 1.0}
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:  # paths of sockets are short
        file = Path(folder) / "autoscaler.json"
        file.write_text(json.dumps(config))
        start = [str(RAY), "start", "--head", f"--port={address.rpartition(':')[2]}", "--num-cpus=0", "--block"]
        start += [f"--autoscaling-config={file}", f"--temp-dir={folder}", "--include-dashboard=false"]
        start += [f"--ray-client-server-port={_free_port()}", "--dashboard-agent-listen-port=0"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        environment |= {"RAY_FAKE_CLUSTER": "1", "AUTOSCALER_UPDATE_INTERVAL_S": "1", "RAY_enable_autoscaler_v2": "1"}
        environment |= TOKEN
        environment |= {"RAY_CLOUD_INSTANCE_ID": HEAD, "RAY_OVERRIDE_NODE_ID_FOR_TESTING": HEAD}
        with (Path(folder) / "head.log").open("w") as log:
            head = psutil.Popen(start, env=environment, stdout=log, stderr=log, start_new_session=True)
        try:
            _wait_for(address)
            yield address
        finally:
            processes = [head, *head.children(recursive=True)]
            head.send_signal(signal.SIGTERM)
            _, left = psutil.wait_procs(processes, timeout=10)
            for process in left:
                process.kill()
            psutil.wait_procs(left, timeout=30)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _wait_for(address: str) -> None:
    host, _, port = address.rpartition(":")
    for _ in range(120):
        try:
            socket.create_connection((host, int(port)), timeout=2).close()
        except OSError:
            time.sleep(1)
        else:
            return
    raise TimeoutError(address)
