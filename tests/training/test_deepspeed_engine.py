"""DeepSpeed against plain torch: the same losses for every ZeRO stage and grid, and one checkpoint format."""

import pytest
import torch

from raymm.errors import TrainingError
from raymm.parallel.grid import make_grid, single
from raymm.training.deepspeed_engine import DeepSpeedConfig, DeepSpeedEngine
from tests.processes import run_ranks
from tests.training.test_engine import CPU, DECAYING, losses_of, torch_engine
from tests.training.toy import Toy


def _engine(grid, stage, seed=0):
    return DeepSpeedEngine(Toy(grid, seed), grid, DECAYING, DeepSpeedConfig(stage), CPU)


def _train_and_resume(rank, shape, folder):
    """Losses by stage, and losses after a resume of stage s from a checkpoint of stage (s + 1) % 3."""
    grid = make_grid(*shape)
    whole, resumed = {}, {}
    for stage in (0, 1, 2):
        engine = _engine(grid, stage)
        first = losses_of(engine, grid, epochs=(1,))
        (folder / str(stage)).mkdir(exist_ok=True)
        torch.distributed.barrier()
        engine.save(folder / str(stage))
        whole[stage] = first + losses_of(engine, grid, epochs=(2,))
    torch.distributed.barrier()
    for stage in (0, 1, 2):
        engine = _engine(grid, stage, seed=5)
        engine.load(folder / str((stage + 1) % 3))
        resumed[stage] = losses_of(engine, grid, epochs=(2,))
    return whole, resumed


@pytest.mark.parametrize(("shape", "relative"), [((1, 1), 1e-5), ((2, 1), 1e-4), ((1, 2), 1e-4)])
def test_losses_equal_plain_torch_for_every_stage_and_grid(shape, relative, tmp_path):
    reference = losses_of(torch_engine(single()), single())
    results = run_ranks(_train_and_resume, shape[0] * shape[1], shape, tmp_path)
    assert len(results) == shape[0] * shape[1]
    for whole, resumed in results:
        assert set(whole) == set(resumed) == {0, 1, 2}
        for stage in whole:
            for step, expected in zip(whole[stage], reference, strict=True):
                assert step == pytest.approx(expected, rel=relative)
            for step, expected in zip(resumed[stage], reference[5:], strict=True):
                assert step == pytest.approx(expected, rel=relative)
    engine = torch_engine(single(), seed=3)  # plain torch on one rank goes on from what DeepSpeed left
    engine.load(tmp_path / "2")
    for step, expected in zip(losses_of(engine, single(), epochs=(2,)), reference[5:], strict=True):
        assert step == pytest.approx(expected, rel=relative)


def test_without_a_process_group_the_error_says_so():
    with pytest.raises(TrainingError, match="no process group"):
        _engine(single(), 1)
