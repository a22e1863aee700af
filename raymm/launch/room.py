"""Room on a cluster: nodes that an autoscaler has yet to start are asked for, and waited for."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Mapping, Sequence

import ray
from ray.autoscaler.sdk import request_resources

from raymm.launch.session import started_here

NODE_WAIT_S = 600.0  # where no setting says another time
_POLL_S = 1.0
_TOLERANCE = 1e-9  # sums of shares of a CPU


def wait_for_room(
    bundles: Sequence[Mapping[str, float]],
    limit_s: float = NODE_WAIT_S,
    instead: str = "--workers 0 needs no cluster",
) -> None:
    """Return when the living nodes carry `bundles`, or when nobody is going to start more; the caller then compares.

    A cluster that this process started does not grow, and is not waited for. Any other is asked for nodes, once a
    second: whoever else asks the autoscaler overwrites what was asked before. The request ends with the waiting; what
    then runs holds its nodes itself.

    Args:
        bundles: What must lie on one node each, resource to amount.
        limit_s: How long nodes may take to come; 0 does not wait.
        instead: What to do for not waiting, for the note on standard error.
    """
    if limit_s <= 0 or started_here() or _carried(bundles):
        return
    have, need = ray.cluster_resources(), _total(bundles)
    logging.getLogger(__name__).warning(
        "waiting up to %g s for nodes: %s needed, %s there; not to wait: %s",
        limit_s,
        ", ".join(f"{amount:g} {name}" for name, amount in need.items()),
        ", ".join(f"{have.get(name, 0):g} {name}" for name in need),
        instead,
    )
    asked, end = [dict(bundle) for bundle in bundles], time.monotonic() + limit_s
    try:
        while not _carried(bundles) and (left := end - time.monotonic()) > 0:
            request_resources(bundles=asked)
            time.sleep(min(_POLL_S, left))
    finally:
        request_resources(bundles=[])


def _total(bundles: Sequence[Mapping[str, float]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for bundle in bundles:
        total.update(bundle)
    return total


def _carried(bundles: Sequence[Mapping[str, float]]) -> bool:
    have = ray.cluster_resources()
    return all(have.get(name, 0) >= amount - _TOLERANCE for name, amount in _total(bundles).items())
