"""Distances between the distributions of modalities."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any, Literal

import torch

from raymm.parallel.collectives import sum_columns
from raymm.parallel.grid import Grid

_ROWS_AT_ONCE = 2_048  # rows summed in single precision, which stay in the processor's cache


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
        tables: Tables whose rows belong together (users, items), each (rows, M * own columns), modalities side by side.
        rows: M numbers, how many rows of all tables count for a modality, at least 2.
        width: D, columns of one modality over all ranks.
        form: One of the two.
        grid: The grid of ranks.

    Returns:
        A scalar >= 0, equal on all ranks of the column group; zero for one modality.
    """
    sums = torch.stack([_sums(table) for table in tables]).sum(0).view(2, len(rows), -1)
    counts = torch.tensor(rows, dtype=sums.dtype, device=sums.device)[:, None]
    if form == "scalar":
        sums, counts = sum_columns(sums.sum(2, keepdim=True), grid), counts * width
    mean = sums[0] / counts
    moments = torch.stack([mean, (sums[1] - counts * mean.square()) / (counts - 1)])  # (2, M, own or 1)
    pairs = list(combinations(range(len(rows)), 2))
    if not pairs:
        return (sums.sum() * 0).to(tables[0].dtype)
    left, right = (moments[:, list(side)] for side in zip(*pairs, strict=True))
    gap = (left - right).abs().sum(0).mean(0).sum().to(tables[0].dtype)
    return gap if form == "scalar" else sum_columns(gap, grid) / width


def _sums(table: torch.Tensor) -> torch.Tensor:
    result: torch.Tensor = _ColumnSums.apply(table)
    return result


class _ColumnSums(torch.autograd.Function):
    """Sums of each column and of its squares, (rows, C) to (2, C) in float64, in one pass forward and one back."""

    @staticmethod
    def forward(ctx: Any, table: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(table)
        total = torch.zeros(2, table.shape[1], dtype=torch.float64, device=table.device)
        for block in table.split(_ROWS_AT_ONCE):
            total[0] += block.sum(0)
            total[1] += block.square().sum(0)
        return total

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> torch.Tensor:
        (table,) = ctx.saved_tensors
        slopes = gradient.to(table.dtype)
        return torch.addcmul(slopes[0], table, 2 * slopes[1])
