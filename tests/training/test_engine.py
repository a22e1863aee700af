"""The torch engine: one rank against several, and its checkpoints."""

import pytest
import torch

from raymm.contracts import Batch, Engine, RecModel
from raymm.errors import TrainingError
from raymm.parallel.grid import make_grid, single
from raymm.training.engine import LearningRates, OptimizerConfig, TorchEngine, make_optimizer, reduced_losses
from tests.processes import run_ranks
from tests.training.toy import Toy, toy_source

CPU = torch.device("cpu")
DECAYING = OptimizerConfig(learning_rate=0.05, decay=0.5, decay_epochs=2)


def losses_of(engine, grid, epochs=(1, 2)):
    losses = []
    for epoch in epochs:
        engine.start_epoch(epoch)
        losses.extend(engine.step(batch) for batch in toy_source(grid).epoch(epoch))
    return losses


def torch_engine(grid, seed=0):
    return TorchEngine(Toy(grid, seed), grid, DECAYING, CPU)


def _train(rank, shape):
    grid = make_grid(*shape)
    return losses_of(torch_engine(grid), grid)


@pytest.mark.parametrize("shape", [(2, 1), (1, 2), (2, 2)])
def test_any_grid_gives_the_losses_of_one_rank(shape):
    reference = losses_of(torch_engine(single()), single())
    assert len(reference) == 10
    assert reference[-1]["bpr.0"] < reference[0]["bpr.0"]
    for losses in run_ranks(_train, shape[0] * shape[1], shape):
        for step, expected in zip(losses, reference, strict=True):
            assert step == pytest.approx(expected, rel=1e-5)


def test_a_stored_engine_goes_on_as_if_nothing_happened(tmp_path):
    whole = losses_of(torch_engine(single()), single())
    first = torch_engine(single())
    losses_of(first, single(), epochs=(1,))
    first.save(tmp_path)
    second = torch_engine(single(), seed=9)
    second.load(tmp_path)
    assert losses_of(second, single(), epochs=(2,)) == whole[5:]


def test_an_untrained_engine_can_be_stored(tmp_path):
    torch_engine(single()).save(tmp_path)
    other = torch_engine(single(), seed=9)
    other.load(tmp_path)
    assert losses_of(other, single()) == losses_of(torch_engine(single()), single())


def test_groups_have_their_own_learning_rate():
    optimizer = make_optimizer(Toy(single()), OptimizerConfig(learning_rate=0.5))
    assert [group["lr"] for group in optimizer.param_groups] == [0.5, pytest.approx(0.05)]
    in_groups = sum(len(group["params"]) for group in optimizer.param_groups)
    assert in_groups == len(list(Toy(single()).parameters()))


def test_the_learning_rate_falls_by_the_decay_in_its_epochs():
    config = OptimizerConfig(learning_rate=1e-3, decay=0.96, decay_epochs=50)
    optimizer = make_optimizer(Toy(single()), config)
    rates = LearningRates(optimizer, config)
    found = []
    for epoch in (51, 1, 2, 101):  # in any order: nothing adds up
        rates.start_epoch(epoch)
        found.append([group["lr"] for group in optimizer.param_groups])
    expected = [0.96e-3, 1e-3, 1e-3 * 0.96 ** (1 / 50), 1e-3 * 0.96**2]
    assert found == [pytest.approx([rate, 0.1 * rate], rel=1e-12) for rate in expected]


def test_without_decay_the_learning_rate_stays():
    assert {OptimizerConfig().factor(epoch) for epoch in (1, 2, 1000)} == {1.0}


@torch.no_grad()
def _largest_change(engine, start):
    pairs = zip(engine._module.parameters(), start.parameters(), strict=True)
    return float(torch.stack([(after - before).abs().max() for after, before in pairs]).max())


def test_a_decayed_learning_rate_moves_parameters_less():
    moved = []
    for epoch in (1, 7):
        engine = torch_engine(single())
        engine.start_epoch(epoch)
        engine.step(next(iter(toy_source(single()).epoch(1))))
        moved.append(_largest_change(engine, Toy(single())))
    assert moved[1] / moved[0] == pytest.approx(0.5**3, rel=1e-3)  # Adam's first step is the learning rate itself


def test_a_loss_that_is_not_finite_stops_training_and_is_named():
    with pytest.raises(TrainingError, match=r"bpr\.1 = nan"):
        reduced_losses({"bpr.0": torch.tensor(1.0), "bpr.1": torch.tensor(float("nan"))}, single())


def test_the_toy_and_the_engine_satisfy_the_protocols():
    assert isinstance(Toy(single()), RecModel)
    assert isinstance(torch_engine(single()), Engine)
    assert isinstance(next(iter(toy_source(single()).epoch(1))), Batch)


def test_a_stored_engine_goes_on_with_other_settings_of_the_optimiser(tmp_path):
    first = torch_engine(single())
    losses_of(first, single(), epochs=(1,))
    first.save(tmp_path)
    config = OptimizerConfig(learning_rate=0.3, beta1=0.5)
    model = Toy(single(), 9)
    engine = TorchEngine(model, single(), config, CPU)
    engine.load(tmp_path)
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    stored = {name: dict(engine._optimizer.state[value]) for name, value in model.named_parameters()}
    engine.start_epoch(2)
    groups = model.parameter_groups()
    rates = {id(value): 0.3 * group.learning_rate_scale for group in groups for value in group.parameters}
    stored = {name: {slot: part.clone() for slot, part in state.items()} for name, state in stored.items()}
    engine.step(next(iter(toy_source(single()).epoch(2))))
    for name, value in model.named_parameters():
        # Adam (Kingma and Ba, 2015), algorithm 1, from the stored moments, with the new rates
        step = float(stored[name]["step"]) + 1
        mean = 0.5 * stored[name]["exp_avg"] + 0.5 * value.grad
        square = 0.999 * stored[name]["exp_avg_sq"] + 0.001 * value.grad**2
        move = mean / (1 - 0.5**step) / ((square / (1 - 0.999**step)).sqrt() + 1e-8)
        assert step > 1
        assert move.abs().max() > 0.1
        assert torch.allclose(before[name] - value.detach(), rates[id(value)] * move, rtol=1e-3, atol=1e-6)
