import torch

from raymm.nn.views import ViewAttention, combine
from raymm.parallel.collectives import collect_columns
from raymm.parallel.grid import make_grid, single
from tests.processes import run_ranks


def _views(grid, rows=5, width=6):
    generator = torch.Generator().manual_seed(4)
    own = grid.columns(width)
    return tuple(torch.randn(rows, width, generator=generator)[:, own.start : own.stop] for _ in range(3))


def _attention(grid):
    return ViewAttention(6, grid, torch.Generator().manual_seed(5))


def test_weights_are_a_softmax_of_the_formula():
    attention, views = _attention(single()).requires_grad_(False), _views(single())
    logits = [
        [(attention.query * torch.tanh(attention.projection @ view[row] + attention.bias)).sum() for view in views]
        for row in range(5)
    ]
    weights = attention(views)
    torch.testing.assert_close(weights, torch.softmax(torch.tensor(logits), dim=1))
    assert (weights > 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(5))


def test_equal_views_make_the_result_independent_of_the_weights():
    view = _views(single())[0]
    torch.testing.assert_close(combine((view,) * 3, _attention(single())((view,) * 3)), view)


def _on_ranks(rank, world):
    grid = make_grid(world, 1)
    attention, views = _attention(grid), _views(grid)
    views = tuple(view.clone().requires_grad_() for view in views)
    result = combine(views, attention(views))
    (result * result.detach()).sum().backward()
    gradients = [collect_columns(view.grad, 6, grid).tolist() for view in views]
    return collect_columns(result, 6, grid).tolist(), gradients, attention.projection.grad.tolist()


def test_any_number_of_ranks_gives_the_same():
    attention, views = _attention(single()), tuple(view.clone().requires_grad_() for view in _views(single()))
    result = combine(views, attention(views))
    (result * result.detach()).sum().backward()
    for values, gradients, weight_gradient in run_ranks(_on_ranks, 2, 2):
        torch.testing.assert_close(torch.tensor(values), result.detach())
        torch.testing.assert_close(torch.tensor(weight_gradient), attention.projection.grad)
        for gradient, view in zip(gradients, views, strict=True):
            torch.testing.assert_close(torch.tensor(gradient), view.grad)
