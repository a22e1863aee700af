from __future__ import annotations

import pytest
import torch

from raymm.nn.alignment import moment_gap as gap_of
from raymm.parallel.grid import Grid, single


def moment_gap(tables: list[torch.Tensor], rows: list[int], width: int, form: str, grid: Grid) -> torch.Tensor:
    """Cut the rows of tables side by side in two, as users and items are."""
    together = torch.cat(tables, dim=1)
    return gap_of([together[:11], together[11:]], rows, width, form, grid)


def _tables() -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [scale * torch.randn(30, 5, generator=generator) + shift for scale, shift in ((1, 0.3), (2, -0.1), (0.5, 4))]


def test_scalar_and_column_forms_follow_their_formulas() -> None:
    left, right, _ = _tables()
    scalar = abs(left.var() - right.var()) + abs(left.mean() - right.mean())
    torch.testing.assert_close(moment_gap([left, right], [30, 30], 5, "scalar", single()), scalar)
    columns = (left.var(0) - right.var(0)).abs() + (left.mean(0) - right.mean(0)).abs()
    torch.testing.assert_close(moment_gap([left, right], [30, 30], 5, "per_column", single()), columns.mean())


@pytest.mark.parametrize("form", ["scalar", "per_column"])
def test_equal_tables_have_no_gap_and_the_order_of_rows_does_not_matter(form: str) -> None:
    left, right, _ = _tables()
    assert moment_gap([left, left], [30, 30], 5, form, single()).item() == 0
    order = torch.randperm(30, generator=torch.Generator().manual_seed(2))
    gap = moment_gap([left, right], [30, 30], 5, form, single())
    assert gap > 0
    torch.testing.assert_close(moment_gap([left, right[order]], [30, 30], 5, form, single()), gap)


@pytest.mark.parametrize("form", ["scalar", "per_column"])
def test_three_modalities_are_the_mean_of_their_pairs_and_one_is_zero(form: str) -> None:
    tables = _tables()
    pairs = [moment_gap([tables[a], tables[b]], [30, 30], 5, form, single()) for a, b in ((0, 1), (0, 2), (1, 2))]
    torch.testing.assert_close(moment_gap(tables, [30] * 3, 5, form, single()), torch.stack(pairs).mean())
    assert moment_gap(tables[:1], [30], 5, form, single()).item() == 0


def test_rows_without_the_modality_do_not_count() -> None:
    left, right, _ = _tables()
    has = torch.arange(30) % 3 > 0
    found = moment_gap([left * has[:, None], right], [20, 30], 5, "per_column", single())
    kept = left[has]
    expected = (kept.var(0) - right.var(0)).abs() + (kept.mean(0) - right.mean(0)).abs()
    torch.testing.assert_close(found, expected.mean())


def test_gradients_equal_finite_differences() -> None:
    tables = [table.double().requires_grad_() for table in _tables()]
    for form in ("scalar", "per_column"):
        assert torch.autograd.gradcheck(lambda *t, f=form: moment_gap(list(t), [30] * 3, 5, f, single()), tables)


def test_many_rows_are_summed_without_loss() -> None:
    generator = torch.Generator().manual_seed(0)
    left, right = (torch.randn(50_000, 2, generator=generator) + shift for shift in (30, 30.01))
    expected = abs(left.double().mean() - right.double().mean()) + abs(left.double().var() - right.double().var())
    found = gap_of([torch.cat([left, right], dim=1)], [50_000] * 2, 2, "scalar", single())
    assert found.item() == pytest.approx(expected.item(), rel=0.02)
