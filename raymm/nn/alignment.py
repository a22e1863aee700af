"""Distances between the distributions of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Literal

import torch

from raymm.parallel.collectives import sum_columns
from raymm.parallel.grid import Grid


def moment_gap(
    tables: Sequence[torch.Tensor], rows: Sequence[int], width: int, form: Literal["scalar", "per_column"], grid: Grid
) -> torch.Tensor:
    """Compute `|var(X_p) - var(X_q)| + |mean(X_p) - mean(X_q)|`, averaged over the pairs of modalities p < q.

    Source: GUME (arXiv 2407.12338), internal alignment: modalities as Gaussians whose parameters are drawn together;
    `scalar` is the published code, one mean and one unbiased variance over all entries of a table.

    Differs from the source: `per_column` compares mean and variance of each embedding column, as the Gaussians of the
    paper's figure suggest, and averages over the columns; more than two modalities are compared in pairs. Rows of
    entities without the modality, which must be zero, do not count.

    Args:
        tables: M tensors (N, own columns).
        rows: How many rows of each table count, at least 2.
        width: D, columns over all ranks.
        form: One of the two.
        grid: The grid of ranks.

    Returns:
        A scalar >= 0, equal on all ranks of the column group; zero for one modality.
    """
    if len(tables) < 2:
        return sum(table.sum() for table in tables) * torch.zeros((), device=tables[0].device)
    moments = [_moments(table, count, width, form, grid) for table, count in zip(tables, rows, strict=True)]
    gaps = [(left - right).abs().sum(0).mean() for left, right in combinations(moments, 2)]
    gap = torch.stack(gaps).mean()
    if form == "scalar":
        return gap.to(tables[0].dtype)
    share = tables[0].shape[1] / width
    return sum_columns(gap.to(tables[0].dtype) * share, grid)


def _moments(table: torch.Tensor, rows: int, width: int, form: str, grid: Grid) -> torch.Tensor:
    """Return mean and unbiased variance: (2, 1) over all entries, or (2, own columns); sums are added in float64."""
    sums = torch.stack([table.sum(0, dtype=torch.float64), table.square().sum(0, dtype=torch.float64)])
    count = rows
    if form == "scalar":
        sums = sum_columns(sums.sum(1, keepdim=True), grid)
        count = rows * width
    mean = sums[0] / count
    return torch.stack([mean, (sums[1] - count * mean.square()) / (count - 1)])
