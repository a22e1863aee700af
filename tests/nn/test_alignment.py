from __future__ import annotations

import pytest
import torch

from raymm.nn.alignment import moment_gap
from raymm.parallel.grid import single


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


@pytest.mark.parametrize("form", ["scalar", "per_column"])
def test_rows_without_the_modality_do_not_count(form: str) -> None:
    left, right, _ = _tables()
    masked = left * (torch.arange(30) % 3 > 0)[:, None]
    kept = left[torch.arange(30) % 3 > 0]
    found = moment_gap([masked, right], [20, 30], 5, form, single())
    torch.testing.assert_close(found, moment_gap([kept, right], [20, 30], 5, form, single()))
