"""Which plan is used when, what its solve starts from, and that it survives a checkpoint."""

import pytest
import torch

from raymm.errors import TrainingError
from raymm.models.sieoug.config import TransferConfig
from raymm.models.sieoug.plan import plan_of, solve_plan
from raymm.models.sieoug.refresh import PlanRefresh
from raymm.models.spec import InProcess, Place
from raymm.parallel.grid import single
from tests.transport.people import domains

CONFIG = TransferConfig(scope="population", warmup_epochs=2, refresh_epochs=3)
PAIRS = torch.arange(20)[:, None].repeat(1, 2)
FIRST, SECOND = domains(60, 50, 30, torch.float32)


class _Recorder:
    """Does the work in this process, and notes what was asked for and taken when."""

    def __init__(self):
        self.log, self.inputs = [], {}
        self._own = InProcess()

    def submit(self, key, work, inputs):
        self.log.append(("submit", key))
        self.inputs[key] = dict(inputs)
        self._own.submit(key, work, inputs)

    def take(self, key):
        self.log.append(("take", key))
        return self._own.take(key)


class _Moving:
    """Embeddings that are others in each epoch."""

    epoch = 0

    def __call__(self):
        noise = torch.randn(FIRST.shape, generator=torch.Generator().manual_seed(self.epoch))
        return FIRST + 0.02 * noise, SECOND


def _refresh():
    recorder, users = _Recorder(), _Moving()
    place = Place(single(), torch.device("cpu"), 7, recorder)
    return PlanRefresh(CONFIG, PAIRS, place, users), recorder, users


def _run(refresh, users, epochs):
    facts = {}
    for epoch in epochs:
        users.epoch = epoch
        facts[epoch] = refresh.start_epoch(epoch)
    return facts


def test_a_plan_is_used_as_many_epochs_after_it_was_asked_for():
    refresh, recorder, users = _refresh()
    facts = _run(refresh, users, range(3, 14))
    assert recorder.log == [
        ("submit", 3),
        ("take", 3),
        ("submit", 6),
        ("take", 6),
        ("submit", 9),
        ("take", 9),
        ("submit", 12),
    ]
    assert {epoch: epoch - fact["population.age"] for epoch, fact in facts.items()} == {
        **dict.fromkeys(range(3, 9), 3),
        **dict.fromkeys(range(9, 12), 6),
        **dict.fromkeys(range(12, 14), 9),
    }
    users.epoch = 9
    source, target = users()
    start = plan_of(solve_plan(recorder.inputs[6], CONFIG.population, 7)).g
    inputs = {"source": source, "target": target, "pairs": PAIRS, "start": start}
    expected = plan_of(solve_plan(inputs, CONFIG.population, 7))
    assert torch.equal(refresh.current.weights, expected.weights)


def test_a_solve_starts_from_the_potentials_in_use():
    refresh, recorder, users = _refresh()
    _run(refresh, users, range(3, 7))
    assert "start" not in recorder.inputs[3]
    assert torch.equal(recorder.inputs[6]["start"], refresh.current.g)
    _run(refresh, users, range(7, 10))
    assert torch.equal(recorder.inputs[9]["start"], refresh.current.g)
    assert not torch.equal(recorder.inputs[6]["start"], refresh.current.g)


def test_facts_say_how_far_to_trust_the_plan():
    refresh, _, users = _refresh()
    facts = _run(refresh, users, [3])[3]
    assert facts["population.gap"] <= CONFIG.population.partition.target_gap
    assert facts["population.reached"] == 1
    assert facts["population.effective_partners"] >= 1
    assert 0 < facts["population.listed_mass"] <= 1 + 1e-6
    assert facts["population.waited_s"] > 0
    assert _run(refresh, users, [4])[4]["population.waited_s"] == 0


@pytest.mark.parametrize("stop", [3, 5, 6, 8, 10])
def test_a_checkpoint_brings_back_the_plan_in_use_and_the_next(stop):
    whole, _, users = _refresh()
    _run(whole, users, range(3, 14))
    first, _, users = _refresh()
    _run(first, users, range(3, stop + 1))
    state = {name: tensor.clone() for name, tensor in first.state().items()}
    again, recorder, users = _refresh()
    again.load(state)
    facts = _run(again, users, range(stop + 1, 14))
    assert facts[13]["population.age"] == 4
    for name in ("targets", "weights", "mass", "g"):
        assert torch.equal(getattr(again.current, name), getattr(whole.current, name))
    assert ("take", 9) in recorder.log


def test_before_the_first_plan_there_is_nothing_to_keep():
    refresh, recorder, _ = _refresh()
    assert refresh.state() == {}
    refresh.load({})
    assert recorder.log == []


def test_training_that_goes_on_without_a_plan_is_an_error():
    refresh, _, users = _refresh()
    with pytest.raises(TrainingError, match="no plan between the users at epoch 7"):
        _run(refresh, users, [7])


@pytest.mark.parametrize("stop", [3, 6])
def test_an_epoch_that_is_begun_again_after_a_resume_within_it_asks_for_nothing_more(stop):
    whole, _, users = _refresh()
    _run(whole, users, range(3, stop + 1))
    second, recorder, users = _refresh()
    second.load(whole.state())
    recorder.log.clear()
    users.epoch = 99  # embeddings are others by now
    second.start_epoch(stop)
    assert recorder.log == []
    assert torch.equal(second.current.weights, whole.current.weights)
