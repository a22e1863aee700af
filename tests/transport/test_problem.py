import math

import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear
from raymm.transport.problem import state_problem
from tests.transport.people import domains, masses


def test_parts_of_a_problem_are_parts_of_the_dense_one() -> None:
    x, y = domains(20, 15, 5)
    whole = state_problem(bilinear.cosine(x, y), 3 * masses(20), masses(15, 1), 0.1, 0.5)
    assert float(whole.a.sum()) == pytest.approx(1.0)
    part = whole.rows(range(4, 9))
    torch.testing.assert_close(part.cost.dense(), whole.cost.dense()[4:9])
    torch.testing.assert_close(part.a, masses(20)[4:9])
    some = whole.between(torch.tensor([3, 8]), torch.tensor([0, 14, 2]))
    assert float(some.a.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(some.b * masses(15, 1)[[0, 14, 2]].sum(), masses(15, 1)[[0, 14, 2]])
    turned = whole.transposed()
    torch.testing.assert_close(turned.cost.dense(), whole.cost.dense().T)
    assert torch.equal(turned.a, whole.b)
    assert not whole.balanced


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"a": -torch.ones(20)}, "finite masses"),
        ({"a": torch.arange(20.0)}, "1 points of mass 0"),
        ({"b": torch.ones(14)}, "one a point"),
        ({"b": torch.full((15,), math.nan)}, "finite masses"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": math.nan}, "epsilon"),
        ({"epsilon": 1e-6}, "compute in float64"),
        ({"rho": 0.0}, "rho"),
    ],
)
def test_bad_problems_are_refused(change: dict[str, object], match: str) -> None:
    x, y = domains(20, 15, 5, torch.float32)
    good = {"cost": bilinear.cosine(x, y), "a": None, "b": None, "epsilon": 0.1}
    assert state_problem(**good).balanced  # type: ignore[arg-type]
    with pytest.raises(SolverError, match=match):
        state_problem(**(good | change))  # type: ignore[arg-type]
