import time

import pytest
import ray
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from raymm.launch.held import held, release, release_since

pytestmark = pytest.mark.ray


def _wait_for(cpus):
    patience = time.monotonic() + 30
    while ray.available_resources().get("CPU", 0) != cpus and time.monotonic() < patience:
        time.sleep(0.1)
    assert ray.available_resources().get("CPU", 0) == cpus


@pytest.fixture
def cpus(ray_cluster):
    """All CPUs of the Ray that tests share, once none is in use; a failed test leaves none reserved."""
    known, total = held(), ray.cluster_resources()["CPU"]
    _wait_for(total)
    yield total
    release_since(known)
    _wait_for(total)


def _holder():
    class Holder:
        def note(self, storage):
            from raymm.launch.held import note_held

            note_held(storage)

    return ray.remote(Holder)


def test_what_a_worker_noted_is_given_back_and_once_is_enough(cpus, tmp_path):
    known = held()
    group = ray.util.placement_group([{"CPU": 1}, {"CPU": 1}])
    ray.get(group.ready())
    strategy = PlacementGroupSchedulingStrategy(group, placement_group_capture_child_tasks=True)
    worker = _holder().options(num_cpus=1, scheduling_strategy=strategy).remote()
    ray.get(worker.note.remote(tmp_path))
    assert held() - known == {group.id.hex()}
    _wait_for(cpus - 2)
    for _ in range(2):
        release(tmp_path)
    _wait_for(cpus)
    assert held() == known


def test_what_was_reserved_before_stays(cpus, tmp_path):
    kept = ray.util.placement_group([{"CPU": 1}])
    ray.get(kept.ready())
    known = held()
    ray.get(ray.util.placement_group([{"CPU": 1}]).ready())
    release(tmp_path)  # nothing was noted there
    _wait_for(cpus - 2)
    release_since(known)
    _wait_for(cpus - 1)
    assert held() == known
    ray.util.remove_placement_group(kept)
    _wait_for(cpus)
