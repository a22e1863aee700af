import math

import pytest
import torch

from raymm.nn.contrastive import cosines, guided_contrastive, info_nce
from raymm.parallel.grid import make_grid, single
from tests.processes import run_ranks


def _guided(similarities, plan, temperature, form="cross_entropy"):
    """The loss of a plan that is not normalised yet."""
    tiny = torch.finfo(plan.dtype).tiny
    rows, columns = (plan / plan.sum(axis, keepdim=True).clamp_min(tiny) for axis in (1, 0))
    return guided_contrastive(similarities, rows, columns, temperature, form)


def _points(n, d=6, seed=0):
    return torch.randn(n, d, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_cosines_equal_torch():
    left, right = _points(5), _points(7, seed=1)
    reference = torch.nn.functional.cosine_similarity(left[:, None], right[None], dim=2)
    torch.testing.assert_close(cosines(left, right, single()), reference)


def test_a_zero_row_has_cosine_zero_and_finite_gradients():
    left = torch.zeros(2, 3, requires_grad=True)
    result = cosines(left, torch.ones(4, 3), single())
    result.sum().backward()
    assert result.abs().max() == 0
    assert torch.isfinite(left.grad).all()


def test_info_nce_of_orthonormal_rows():
    # closed form: - log(e^(1/t) / (e^(1/t) + B - 1)), 0.35381 for B = 64 and t = 0.2
    expected = -math.log(math.exp(5) / (math.exp(5) + 63))
    assert expected == pytest.approx(0.35381, abs=1e-5)
    assert info_nce(torch.eye(64), 0.2).item() == pytest.approx(expected, rel=1e-5)
    assert info_nce(torch.ones(64, 64), 0.2).item() == pytest.approx(math.log(64), rel=1e-6)


@pytest.mark.parametrize("form", ["cross_entropy", "log_sum"])
def test_a_permutation_as_plan_gives_info_nce(form):
    similarities = cosines(_points(6), _points(6, seed=1), single())
    order = torch.randperm(6, generator=torch.Generator().manual_seed(2))
    plan = torch.zeros(6, 6, dtype=torch.float64)
    plan[torch.arange(6), order] = 1 / 6
    aligned = similarities[:, order]
    expected = (info_nce(aligned, 0.3) + info_nce(aligned.T, 0.3)) / 2
    assert _guided(similarities, plan, 0.3, form).item() == pytest.approx(expected.item(), rel=1e-6)


def test_a_uniform_plan_is_minimised_by_uniform_probabilities():
    plan = torch.ones(5, 5, dtype=torch.float64)
    flat = _guided(torch.zeros(5, 5, dtype=torch.float64), plan, 0.2)
    others = [_guided(cosines(_points(5, seed=s), _points(5, seed=s + 9), single()), plan, 0.2) for s in (1, 2)]
    assert flat.item() == pytest.approx(math.log(5))
    assert all(value > flat for value in others)


def test_the_log_of_the_sum_is_lower():
    similarities = cosines(_points(5), _points(4, seed=1), single())
    plan = torch.rand(5, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    low, high = (_guided(similarities, plan, 0.2, form) for form in ("log_sum", "cross_entropy"))
    assert low < high


def test_rows_without_mass_do_not_count():
    similarities = cosines(_points(3), _points(3, seed=1), single())
    plan = torch.eye(3, dtype=torch.float64)
    plan[2, 2] = 0
    by_rows = -torch.log_softmax(similarities / 0.2, 1).diagonal()[:2].mean()
    by_columns = -torch.log_softmax(similarities.T / 0.2, 1).diagonal()[:2].mean()
    expected = (by_rows + by_columns) / 2
    assert _guided(similarities, plan, 0.2).item() == pytest.approx(expected.item())
    assert _guided(similarities, torch.zeros_like(plan), 0.2).item() == 0


def _gradient(rank, world):
    grid = make_grid(world, 1)
    own = grid.columns(6)
    left = _points(5)[:, own.start : own.stop].clone().requires_grad_()
    right = _points(4, seed=1)[:, own.start : own.stop]
    plan = torch.ones(5, 4, dtype=torch.float64)
    loss = _guided(cosines(left, right, grid), plan.tril(), 0.2)
    loss.backward()
    return loss.item(), left.grad.tolist()


def test_columns_over_ranks_give_the_same_loss_and_gradient():
    left = _points(5).requires_grad_()
    loss = _guided(cosines(left, _points(4, seed=1), single()), torch.ones(5, 4).double().tril(), 0.2)
    loss.backward()
    results = run_ranks(_gradient, 2, 2)
    assert [value for value, _ in results] == pytest.approx([loss.item()] * 2)
    joined = torch.cat([torch.tensor(part, dtype=torch.float64) for _, part in results], dim=1)
    torch.testing.assert_close(joined, left.grad)
