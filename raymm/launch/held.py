"""What trainings hold of the cluster, given back when their driver is stopped from outside.

Ray removes the workers' reserved CPUs and GPUs with the job that reserved them, not with the actor: a training inside
a trial of Ray Tune that is stopped would keep them for as long as the sweep goes on.
"""

from __future__ import annotations

from pathlib import Path

import ray
from ray import PlacementGroupID
from ray.util import get_current_placement_group, placement_group_table, remove_placement_group
from ray.util.placement_group import PlacementGroup

_FILE = "held"


def note_held(storage: Path) -> None:
    """Leave in a training's storage what its workers hold; called by one of them.

    Args:
        storage: The storage folder, on a disk that all nodes share.
    """
    group = get_current_placement_group()
    if group is not None:
        (storage / _FILE).write_text(group.id.hex())


def release(storage: Path) -> None:
    """Give back what the workers of a training hold, and end them with it; nothing if they hold nothing any more.

    Args:
        storage: The training's storage folder.
    """
    path = storage / _FILE
    if path.is_file():
        _remove(path.read_text())


def held() -> frozenset[str]:
    """Return the ids of what this process's job has reserved."""
    job = ray.get_runtime_context().get_job_id()
    groups = placement_group_table().items()
    return frozenset(group for group, facts in groups if group.endswith(job) and facts["state"] != "REMOVED")


def release_since(before: frozenset[str]) -> None:
    """Give back what this process's job has reserved since `held` returned `before`.

    For trainings that were stopped before their workers could note anything; nothing else may be running.
    """
    for group in held() - before:
        _remove(group)


def _remove(group: str) -> None:
    remove_placement_group(PlacementGroup(PlacementGroupID(bytes.fromhex(group))))
