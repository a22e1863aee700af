"""The connection to Ray: a cluster that is there, or a local one that is started."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import ray
from ray._private import ray_constants, services
from ray.data import DataContext
from ray.exceptions import RayError, RayTaskError

from raymm.errors import ClusterError, RaymmError

KNOCK_S = 5.0  # how long a cluster's address may take to answer
_LOOPBACK = "127.0.0.1"
_own: set[str] = set()  # addresses of the clusters that this process started


@dataclass(frozen=True)
class Session:
    """What this process is connected to.

    Attributes:
        address: Where the cluster's head listens.
        started: This process started it, as a local one that ends with the process.
        nodes: Machines.
        cpus: CPUs over all of them, as Ray counts them.
        gpus: GPUs over all of them.
    """

    address: str
    started: bool
    nodes: int
    cpus: int
    gpus: int


def connect(address: str | None = None, cpus: int = 0) -> Session:
    """Connect to Ray; a process that is connected stays as it is.

    Args:
        address: `local` starts a cluster on this machine. Anything else is the address of one that is there; `auto`
            means the one that Ray finds (inside a job, by RAY_ADDRESS, or started on this machine by `ray start`).
            None: what `auto` finds, else `local`.
        cpus: CPUs that are needed at the same time; a local cluster promises at least as many, whatever the machine
            has, so that two workers run on a machine with one.

    Raises:
        ClusterError: There is no cluster at `address`, or it does not let this process in.
    """
    started = False
    if not ray.is_initialized():
        started = address == "local" or not _joined(address)
        if started:
            _start(cpus)
    _quieten()
    resources = ray.cluster_resources()
    nodes = sum(node["Alive"] for node in ray.nodes())
    head = ray.get_runtime_context().gcs_address
    if started:
        _own.add(head)
    return Session(head, started, nodes, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)))


def started_here() -> bool:
    """Say whether this process is connected to a cluster that `connect` started in it."""
    return ray.is_initialized() and ray.get_runtime_context().gcs_address in _own


@contextlib.contextmanager
def plain_errors() -> Iterator[None]:
    """Raise raymm's own errors as they were raised on the worker, without Ray's wrapping."""
    try:
        yield
    except RayTaskError as error:
        if isinstance(error.cause, RaymmError):
            raise error.cause from None
        raise


def _joined(address: str | None) -> bool:
    """Join the cluster at `address`; False if none was named and none is there."""
    if address is not None and address != "auto":
        _knock(address)
    try:
        with _loopback() if _only_here(address or "auto") else contextlib.nullcontext():
            ray.init(address=address or "auto", log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, RayError) as error:
        if address is None and "Could not find any running Ray instance" in str(error):
            return False
        raise ClusterError(
            f"the cluster cannot be joined: {str(error).splitlines()[0]}",
            "a running cluster of the same Ray and Python that takes this process's token",
            address or "the cluster that RAY_ADDRESS or `ray start` named",
            "check that it runs, compare RAY_AUTH_MODE and the token on both sides; `local` starts one here instead",
        ) from error
    return True


def _knock(address: str) -> None:
    """See whether anything listens at `address`: Ray itself would try for minutes, and say so on the terminal."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    expected = "`local`, `auto`, or the host:port of a running cluster"
    if not host or not port.isdigit():
        raise ClusterError("no address", expected, address, "`ray start --head` prints the address of its cluster")
    try:
        socket.create_connection((host, int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError) as error:
        raise ClusterError(
            f"nobody answers: {error}", expected, address, "check the address, and that this machine may reach it"
        ) from error


def _only_here(address: str) -> bool:
    """Say whether a cluster listens on this machine's loopback alone, as one of `_start` does."""
    found = services.get_ray_address_from_environment(address, None) if address == "auto" else address
    host, _, port = (found or "").rpartition(":")
    if host not in (_LOOPBACK, "localhost") or not port.isdigit():
        return False
    try:
        socket.create_connection((ray.util.get_node_ip_address(), int(port)), timeout=KNOCK_S).close()
    except (OSError, OverflowError):
        return True
    return False


def _start(cpus: int) -> None:
    try:
        # With a dashboard, Ray's own services find the state API they ask for, and do not complain about it.
        with _loopback():
            ray.init(
                address="local",
                num_cpus=max(os.cpu_count() or 1, cpus),
                include_dashboard=True,
                dashboard_host=_LOOPBACK,
                log_to_driver=False,
                logging_level=logging.ERROR,
                _node_ip_address=_LOOPBACK,
            )
    except Exception as error:  # Ray raises bare exceptions where one of its services does not come up
        ray.shutdown()
        reason = str(error).strip().partition("\n")[0]
        raise ClusterError(
            f"no local Ray could be started: {reason}",
            "processor time, memory, and a short path for Ray's temporary files",
            "local",
            "start it again when the machine is less busy, or name a running cluster by --address",
        ) from error


@contextlib.contextmanager
def _loopback() -> Iterator[None]:
    """Let Ray keep 127.0.0.1 as the node's address: it puts a public one in its place where other nodes may join."""
    name = "ENABLE_RAY_CLUSTER"
    before = getattr(ray_constants, name, True)
    setattr(ray_constants, name, False)
    try:
        yield
    finally:
        setattr(ray_constants, name, before)


def _quieten() -> None:
    """Keep Ray Data's progress and reports off the terminal; its log files stay as they are."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    for handler in logging.getLogger("ray.data").handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setLevel(logging.CRITICAL)
