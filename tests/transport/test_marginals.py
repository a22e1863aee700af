import pytest
import torch

from raymm.errors import SolverError
from raymm.transport.marginals import anchored, checked


@pytest.mark.parametrize(("n", "m", "shared"), [(5, 5, 0), (7, 4, 3), (4, 7, 2), (6, 6, 6)])
def test_each_side_sums_to_one_and_pairs_weigh_the_same_on_both(n: int, m: int, shared: int) -> None:
    masses = anchored(n, m, shared)
    assert masses.a.shape == (n,)
    assert masses.b.shape == (m,)
    assert masses.a.sum() == pytest.approx(1.0, abs=1e-15)
    assert masses.b.sum() == pytest.approx(1.0, abs=1e-15)
    if shared:
        assert torch.allclose(masses.a[:shared], masses.b[:shared], atol=1e-15)
        assert masses.a[0] == pytest.approx(masses.shared_mass)
        assert masses.a[0] == pytest.approx(1.0 / max(n, m))


def test_users_without_any_possible_partner_take_no_part() -> None:
    masses = anchored(5, 3, 3)
    assert masses.shared_mass == pytest.approx(1 / 3)
    assert masses.a[3:].tolist() == [0.0, 0.0]
    assert masses.b.sum() == pytest.approx(1.0)


@pytest.mark.parametrize(("n", "m", "shared"), [(0, 3, 0), (3, 0, 0), (3, 4, 4), (3, 4, -1)])
def test_impossible_sizes_are_refused(n: int, m: int, shared: int) -> None:
    with pytest.raises(SolverError, match="known pairs"):
        anchored(n, m, shared)


@pytest.mark.parametrize("mass", [[1.0, -1.0], [float("nan"), 1.0], [0.0, 0.0], [float("inf"), 1.0]])
def test_bad_masses_are_refused(mass: list[float]) -> None:
    with pytest.raises(SolverError, match="mass"):
        checked(torch.tensor(mass), 2, "source")


def test_masses_are_normalised_and_counted() -> None:
    assert checked(torch.tensor([1.0, 3.0]), 2, "source").tolist() == [0.25, 0.75]
    with pytest.raises(SolverError, match="one a point"):
        checked(torch.ones(3), 2, "source")
    with pytest.raises(SolverError, match="no points"):
        checked(torch.ones(0), 0, "source")
