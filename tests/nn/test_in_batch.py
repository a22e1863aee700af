from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional

from raymm.contracts import Triples
from raymm.nn.contrastive import info_nce
from raymm.nn.in_batch import distinct, in_batch_info_nce, whole_batch
from raymm.parallel.collectives import sum_columns
from raymm.parallel.grid import make_grid, single
from tests.processes import run_ranks


def _tables(rows: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [functional.normalize(torch.randn(rows, 8, generator=generator, dtype=torch.float64)) for _ in range(2)]


def test_orthonormal_rows_have_the_known_value() -> None:
    rows = torch.eye(64)
    loss = in_batch_info_nce(rows, rows, torch.ones(64), 0.2, single())
    assert loss.item() == pytest.approx(-math.log(math.exp(5) / (math.exp(5) + 63)), rel=1e-5)
    assert loss.item() == pytest.approx(0.35381, abs=1e-5)


def test_a_constant_table_has_the_logarithm_of_its_rows() -> None:
    rows = torch.full((100, 4), 0.5)
    assert in_batch_info_nce(rows, rows, torch.ones(100), 0.1, single()).item() == pytest.approx(
        math.log(100), rel=1e-6
    )


@pytest.mark.parametrize("rows", [1, 7, 600])
def test_counts_stand_for_repeated_rows(rows: int) -> None:
    ids = torch.randint(rows, (rows + 50,), generator=torch.Generator().manual_seed(1))
    batch = distinct(ids)
    left, right = _tables(rows)
    left, right = left.requires_grad_(), right.requires_grad_()
    expected = info_nce(left[ids] @ right[ids].T, 0.1)
    wanted = torch.autograd.grad(expected, (left, right))
    found = in_batch_info_nce(left[batch.ids], right[batch.ids], batch.counts.double(), 0.1, single())
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * found, (left, right)), tuple(3 * g for g in wanted))


def test_gradients_equal_finite_differences() -> None:
    left, right = (table.requires_grad_() for table in _tables(6))
    counts = torch.tensor([1.0, 2, 1, 5, 1, 3], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda a, b: in_batch_info_nce(a, b, counts, 0.3, single()), (left, right))


def test_a_low_temperature_neither_overflows_nor_loses_rows() -> None:
    left, right = (table.float().requires_grad_() for table in _tables(50))
    loss = in_batch_info_nce(left, -right, torch.ones(50), 0.005, single())
    expected = info_nce(left.double() @ -right.double().T, 0.005)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    loss.backward()
    assert left.grad.isfinite().all()


def _rank(rank: int) -> tuple[float, list[list[float]], list[list[int]]]:
    columns, data = make_grid(2, 1), make_grid(1, 2)
    left, right = (table.requires_grad_() for table in _tables(11))
    own = columns.rows(11)
    part = in_batch_info_nce(left[own.start : own.stop], right, torch.arange(1.0, 12.0).double(), 0.2, columns)
    loss = sum_columns(part, columns)
    loss.backward()
    gradients = torch.cat([left.grad, right.grad])
    torch.distributed.all_reduce(gradients)
    mine = data.batch_rows(7)
    ids = torch.arange(21).view(3, 7)[:, mine.start : mine.stop]
    batch = whole_batch(Triples(*ids, total=7), data)
    return loss.item(), gradients.tolist(), [x.tolist() for x in (batch.users, batch.positives, batch.negatives)]


def test_ranks_share_the_rows_and_collect_the_batch() -> None:
    left, right = (table.requires_grad_() for table in _tables(11))
    alone = in_batch_info_nce(left, right, torch.arange(1.0, 12.0).double(), 0.2, single())
    alone.backward()
    results = run_ranks(_rank, 2)
    for loss, gradients, batch in results:
        assert loss == pytest.approx(alone.item(), rel=1e-9)
        torch.testing.assert_close(torch.tensor(gradients).double(), torch.cat([left.grad, right.grad]))
        assert batch == torch.arange(21).view(3, 7).tolist()


def test_distinct_entities_are_ascending_and_counted() -> None:
    found = distinct(torch.tensor([5, 2, 5, 9]))
    assert found.ids.tolist() == [2, 5, 9]
    assert found.counts.tolist() == [1, 2, 1]
    assert found.ids[found.places].tolist() == [5, 2, 5, 9]
