"""Every collective against the same arithmetic on one rank, values and gradients."""

import pytest
import torch

from raymm.parallel.collectives import collect_columns, columns_to_rows, gather_rows, sum_columns, use_on_rows
from raymm.parallel.grid import make_grid, single
from tests.processes import run_ranks

ROWS, WIDTH = 7, 5


def _loss(x, weight, width, grid):
    """Row work in the middle (a gate from whole rows), column work around it."""
    rows = columns_to_rows(torch.tanh(x), width, grid)
    gates = gather_rows(torch.sigmoid(rows @ use_on_rows(weight, grid)), len(x), grid)
    scores = sum_columns((x * gates * x.roll(1, 0)).sum(1), grid)
    return (scores**2).mean() + torch.logsumexp(scores, 0)


def _start():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(ROWS, WIDTH, generator=generator, dtype=torch.float64)
    return x, torch.randn(WIDTH, 1, generator=generator, dtype=torch.float64)


def _on_ranks(rank, world):
    grid = make_grid(world, 1)
    x, weight = _start()
    own = grid.columns(WIDTH)
    x = x[:, own.start : own.stop].clone().requires_grad_()
    weight.requires_grad_()
    loss = _loss(x, weight, WIDTH, grid)
    loss.backward()
    return loss.item(), collect_columns(x.grad, WIDTH, grid).tolist(), weight.grad.tolist()


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_ranks_gives_the_same_loss_and_gradients(world):
    x, weight = _start()
    x.requires_grad_()
    weight.requires_grad_()
    loss = _loss(x, weight, WIDTH, single())
    loss.backward()
    results = run_ranks(_on_ranks, world, world)
    assert len(results) == world
    for value, x_gradient, weight_gradient in results:
        assert value == pytest.approx(loss.item(), rel=1e-12)
        torch.testing.assert_close(torch.tensor(x_gradient, dtype=torch.float64), x.grad)
        torch.testing.assert_close(torch.tensor(weight_gradient, dtype=torch.float64), weight.grad)


def _one_row(rank):
    grid = make_grid(2, 1)
    own = grid.columns(WIDTH)
    columns = torch.arange(float(WIDTH))[None, own.start : own.stop].clone().requires_grad_()
    rows = columns_to_rows(columns, WIDTH, grid)
    whole = gather_rows(rows, 1, grid)
    whole.sum().backward()
    return tuple(rows.shape), whole.tolist(), columns.grad.tolist()


def test_a_rank_may_have_no_row_at_all():
    first, second = run_ranks(_one_row, 2)
    assert (first[0], second[0]) == ((0, WIDTH), (1, WIDTH))
    assert first[1] == second[1] == [[0.0, 1.0, 2.0, 3.0, 4.0]]
    # each of the two ranks holds the whole loss, so a gradient of one each adds up over the group
    assert first[2] == [[2.0, 2.0]]


def test_one_rank_needs_no_process_group():
    x, _ = _start()
    assert sum_columns(x, single()) is x
    assert columns_to_rows(x, WIDTH, single()) is x
    assert gather_rows(x, ROWS, single()) is x
    assert use_on_rows(x, single()) is x
    assert torch.equal(collect_columns(x, WIDTH, single()), x)
