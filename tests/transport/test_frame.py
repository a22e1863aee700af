import dataclasses

import pytest
import torch

from raymm.errors import SolverError
from raymm.transport.frame import Frame, source_frame
from raymm.transport.population import PopulationConfig, population_cost
from tests.transport.people import domains

WAYS = {
    "profile": PopulationConfig(),
    "hellinger": PopulationConfig(relation="hellinger", max_anchors=15),
    "distance": PopulationConfig(omega=1.0),
    "both": PopulationConfig(omega=0.3, precision="float64"),
    "all": PopulationConfig(omega=0.6, relation="hellinger"),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("known", [10, 40])  # fewer and more than there are dimensions
def test_users_of_the_solve_stand_where_the_cost_has_them(name: str, known: int) -> None:
    config = WAYS[name]
    x, y = domains(120, 90, 50, torch.float32, turned=True)
    pairs = torch.arange(known)[:, None].repeat(1, 2)
    cost = population_cost(x, y, pairs, config)
    frame = source_frame(x, y, pairs, config)
    again = Frame(**frame.tensors())
    torch.testing.assert_close(again.coordinates(x), cost.source, atol=1e-6, rtol=0)
    torch.testing.assert_close(again.cost(x, cost.target).dense(), cost.dense(), atol=1e-5, rtol=0)
    # One user alone stands where he stood among all.
    torch.testing.assert_close(again.coordinates(x[7:8]), cost.source[7:8], atol=1e-6, rtol=0)
    assert again.coordinates(x).dtype == config.blocks


def test_vectors_that_do_not_fit_are_refused() -> None:
    x, y = domains(60, 50, 30, torch.float32)
    pairs = torch.arange(20)[:, None].repeat(1, 2)
    frame = source_frame(x, y, pairs, PopulationConfig())
    zero, missing = x[:3].clone(), x[:3].clone()
    zero[1], missing[2, 4] = 0.0, torch.nan
    for bad, words in ((x[:, :9], "shape"), (x[:0], "shape"), (zero, "zero"), (missing, "not finite")):
        with pytest.raises(SolverError, match=words):
            frame.coordinates(bad)
    with pytest.raises(SolverError, match="coordinates of shape"):
        frame.cost(x, torch.ones(4, 3))


def test_float32_and_float64_differ_by_rounding_only() -> None:
    x, y = domains(60, 50, 30, torch.float32)
    pairs = torch.arange(20)[:, None].repeat(1, 2)
    single = PopulationConfig(omega=0.4)
    one, other = (source_frame(x, y, pairs, way) for way in (single, dataclasses.replace(single, precision="float64")))
    left, right = one.coordinates(x), other.coordinates(x)
    # Singular vectors may turn; inner products may not.
    torch.testing.assert_close((left @ left.T).double(), right @ right.T, atol=2e-5, rtol=0)
