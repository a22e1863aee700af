"""The torch engine: one rank against several, and its checkpoints."""

import pytest
import torch

from raymm.contracts import Batch, Engine, RecModel
from raymm.errors import TrainingError
from raymm.parallel.grid import make_grid, single
from raymm.training.engine import OptimizerConfig, TorchEngine, make_optimizer, reduced_losses
from tests.processes import run_ranks
from tests.training.toy import Toy, toy_source

CPU = torch.device("cpu")


def losses_of(engine, grid, epochs=(1, 2)):
    return [engine.step(batch) for epoch in epochs for batch in toy_source(grid).epoch(epoch)]


def torch_engine(grid, seed=0):
    return TorchEngine(Toy(grid, seed), grid, OptimizerConfig(learning_rate=0.05), CPU)


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


def test_a_loss_that_is_not_finite_stops_training_and_is_named():
    with pytest.raises(TrainingError, match=r"bpr\.1 = nan"):
        reduced_losses({"bpr.0": torch.tensor(1.0), "bpr.1": torch.tensor(float("nan"))}, single())


def test_the_toy_and_the_engine_satisfy_the_protocols():
    assert isinstance(Toy(single()), RecModel)
    assert isinstance(torch_engine(single()), Engine)
    assert isinstance(next(iter(toy_source(single()).epoch(1))), Batch)
