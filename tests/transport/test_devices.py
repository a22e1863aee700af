"""All of transport computes where its input is: shown without a second device, and on a GPU where there is one."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from raymm.transport.checkpoint import Checkpoint
from raymm.transport.export import new_partners
from raymm.transport.frame import source_frame
from raymm.transport.guided import PAPER, MatchConfig, match
from raymm.transport.partitioned import PartitionConfig
from raymm.transport.population import PopulationConfig, PopulationMatch, match_populations
from raymm.transport.problem import state_problem
from raymm.transport.quality import QualityConfig, choose_on_hidden
from tests.transport.people import domains

SMALL = PartitionConfig(sample=150, cells=12, target_gap=0.005)
WAYS = [
    PopulationConfig(partition=SMALL),
    PopulationConfig(partition=SMALL, marginals="balanced", epsilon=0.05, omega=0.5, relation="hellinger"),
    PopulationConfig(partition=dataclasses.replace(SMALL, bound="sampled", bound_rows=100), precision="float64"),
]


PEOPLE = domains(500, 420, 150, torch.float32, noise=0.05)


def everything(config: PopulationConfig, device: str, folder: Path) -> tuple[PopulationMatch, list[torch.Tensor]]:
    """Choose, match, keep the state, list partners of new users, and match a batch."""
    x, y = (side.to(device) for side in PEOPLE)
    pairs = torch.arange(60, device=device)[:, None].repeat(1, 2)
    tries = QualityConfig(relations=(config.relation,), omegas=(0.0, 1.0), epsilons=(0.05,), relaxations=(0.05,))
    draws = torch.Generator(device="cpu").manual_seed(0)
    choose_on_hidden(x, y, pairs, config, tries, draws)
    kept = Checkpoint(folder / "state.npz", "same")
    found = match_populations(x, y, pairs, config, draws, observe=(kept, None))
    assert found.report()["relative_gap"] is not None
    assert found.problem is not None
    assert found.solution is not None
    cost = source_frame(x, y, pairs, config).cost(x[:50], found.problem.cost.target)
    late = state_problem(cost, None, found.problem.b, config.epsilon, config.rho)
    listed = new_partners(late, found.solution.g, 5)
    batches = [match(x[:80], y[:70], 20, way) for way in (MatchConfig(), PAPER)]
    return found, [listed.weights, *(batch.plan for batch in batches)]


@pytest.mark.parametrize("config", WAYS, ids=["relaxed", "balanced", "sampled"])
def test_no_tensor_is_made_on_a_default_device(config: PopulationConfig, tmp_path: Path) -> None:
    # Whatever is made without saying where comes to be on `meta`, and does not go together with the input on the CPU.
    with torch.device("meta"):
        with pytest.raises((RuntimeError, NotImplementedError)):
            float((torch.zeros(3) + torch.ones(3, device="cpu")).sum())
        found, others = everything(config, "cpu", tmp_path)
    assert found.partners.targets.device.type == "cpu"
    assert all(torch.isfinite(other).all() for other in others)


@pytest.mark.gpu
@pytest.mark.parametrize("config", WAYS, ids=["relaxed", "balanced", "sampled"])
def test_a_gpu_gives_what_the_cpu_gives(config: PopulationConfig, tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    for device in ("cpu", "cuda"):
        (tmp_path / device).mkdir()
    (here, rest), (there, same) = (everything(config, device, tmp_path / device) for device in ("cpu", "cuda"))
    assert there.partners.weights.is_cuda
    assert here.certificate is not None
    assert there.certificate is not None
    assert there.certificate.upper == pytest.approx(here.certificate.upper, rel=1e-3)
    assert there.certificate.lower <= here.certificate.upper + 1e-6
    assert math.isclose(float(there.partners.mass.sum()), float(here.partners.mass.sum()), rel_tol=1e-2)
    for one, other in zip(rest, same, strict=True):
        torch.testing.assert_close(other.cpu(), one, atol=1e-3, rtol=1e-2)
