"""Work beside the training on a real local Ray."""

import functools
import threading
import time

import pytest
import ray
import torch

from raymm.errors import SolverError
from raymm.launch.background import OnRay, start_errands
from raymm.models.sieoug.plan import plan_of, solve_plan
from raymm.transport.population import PopulationConfig
from tests.transport.people import domains

pytestmark = [pytest.mark.ray, pytest.mark.timeout(300)]

PAIRS = torch.arange(20)[:, None].repeat(1, 2)
WORK = functools.partial(solve_plan, config=PopulationConfig(top_k=8), seed=0)


@pytest.fixture
def ranks(ray_cluster):
    errands = start_errands()
    return OnRay(errands, asks=True), OnRay(errands, asks=False), errands


def _inputs(seed=0, **more):
    x, y = domains(60 + seed, 50, 30, torch.float32)
    return {"source": x, "target": y, "pairs": PAIRS, **more}


def test_one_rank_asks_and_all_get_what_the_work_returns(ranks):
    first, second, _ = ranks
    expected = plan_of(solve_plan(_inputs(), PopulationConfig(top_k=8), 0))
    early: list[dict] = []
    waiting = threading.Thread(target=lambda: early.append(second.take(3)))
    waiting.start()  # before anybody has asked
    second.submit(3, WORK, _inputs(seed=1))  # asks nothing: the inputs are equal on all ranks
    first.submit(3, WORK, _inputs())
    waiting.join(timeout=60)
    for found in (first.take(3), early[0]):
        plan = plan_of(found)
        assert torch.equal(plan.targets, expected.targets)
        torch.testing.assert_close(plan.weights, expected.weights)
        assert plan.facts["gap"] == pytest.approx(expected.facts["gap"], abs=1e-6)
        plan.weights.add_(1)  # its own, not the object store's


def test_asking_does_not_wait_for_the_work(ranks):
    def slow(inputs):
        time.sleep(4)
        return {"x": 2 * inputs["x"]}

    first, _, errands = ranks
    ray.get(errands.clear.remote())  # the actor is up
    clock = time.perf_counter()
    first.submit(1, slow, {"x": torch.ones(2)})
    asked = time.perf_counter() - clock
    assert first.take(1)["x"].tolist() == [2, 2]
    assert asked < 4 <= time.perf_counter() - clock


def test_an_error_of_the_work_reaches_every_rank_as_it_was_raised(ranks):
    first, second, _ = ranks
    first.submit(1, WORK, _inputs(start=torch.zeros(3)))
    for rank in (first, second):
        with pytest.raises(SolverError, match="a start of shape"):
            rank.take(1)


def test_workers_that_start_again_do_not_get_what_others_asked_for(ranks):
    first, second, errands = ranks
    first.submit(1, WORK, _inputs())
    first.take(1)
    ray.get(errands.clear.remote())
    late: list[dict] = []
    waiting = threading.Thread(target=lambda: late.append(second.take(1)))
    waiting.start()
    waiting.join(timeout=1)
    assert late == []
    first.submit(1, WORK, _inputs(seed=2))
    waiting.join(timeout=60)
    assert len(late[0]["targets"]) == 62


def test_old_results_are_let_go(ranks):
    first, second, errands = ranks
    for key in (1, 2, 3):
        first.submit(key, WORK, _inputs())
    assert "g" in second.take(2)
    assert "g" in first.take(3)
    with pytest.raises(ray.exceptions.GetTimeoutError):
        ray.get(errands.result.remote(1), timeout=1)
