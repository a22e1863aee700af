import pytest
import torch

from raymm.transport.anderson import Anderson


def affine(m: int = 12) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    turn, _ = torch.linalg.qr(torch.randn(m, m, generator=generator, dtype=torch.float64))
    matrix = turn @ torch.diag(torch.linspace(0.1, 0.99, m, dtype=torch.float64)) @ turn.T
    offset = torch.randn(m, generator=generator, dtype=torch.float64)
    return matrix, offset, torch.linalg.solve(torch.eye(m, dtype=torch.float64) - matrix, offset)


def iterations(depth: int, mixing: float = 1.0) -> int:
    matrix, offset, truth = affine()
    mixer = Anderson(torch.ones(12, dtype=torch.float64), depth, mixing, shift_invariant=False)
    point = torch.zeros(12, dtype=torch.float64)
    for count in range(3000):
        image = matrix @ point + offset
        error = float((image - point).abs().sum())
        if error < 1e-10:
            torch.testing.assert_close(point, truth, atol=1e-7, rtol=0)
            return count
        point = mixer.propose(point, image, error)
    return 3000


def test_every_variant_reaches_the_same_point_and_mixing_is_faster() -> None:
    plain, relaxed, mixed = iterations(0), iterations(0, 1.5), iterations(5)
    assert mixed < relaxed < plain < 3000
    assert iterations(20) <= 20  # a linear problem of 12 unknowns ends like GMRES does


def test_shift_invariant_point_has_no_mean() -> None:
    weights = torch.tensor([1.0, 3.0], dtype=torch.float64)
    mixer = Anderson(weights, 5)
    point = mixer.propose(torch.zeros(2, dtype=torch.float64), torch.tensor([4.0, 8.0], dtype=torch.float64), 1.0)
    assert float(point @ weights) == pytest.approx(0.0, abs=1e-15)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 100.0])
def test_a_misleading_history_is_dropped_for_the_best_image(bad: float) -> None:
    mixer = Anderson(torch.ones(2, dtype=torch.float64), 5, shift_invariant=False)
    one = torch.tensor([1.0, 1.0], dtype=torch.float64)
    mixer.propose(0 * one, one, 1.0)
    best_image = 3 * one
    mixer.propose(2 * one, best_image, 0.5)
    back = mixer.propose(50 * one, 70 * one, bad)
    assert torch.equal(back, best_image)
    assert mixer.best_error == 0.5


def test_restored_state_takes_the_same_steps() -> None:
    matrix, offset, _ = affine()
    first = Anderson(torch.ones(12, dtype=torch.float64), 5, shift_invariant=False)
    second = Anderson(torch.ones(12, dtype=torch.float64), 5, shift_invariant=False)
    point = torch.zeros(12, dtype=torch.float64)
    for step in range(8):
        image = matrix @ point + offset
        if step == 4:
            second.restore(first.state())
        following = first.propose(point, image, 1.0 / (step + 1))
        if step >= 4:
            assert torch.equal(second.propose(point, image, 1.0 / (step + 1)), following)
        point = following
    assert len(first.state()) == 4
