"""Differentiable collectives of a column group.

The convention everywhere: **every rank of the column group holds the whole loss**. A tensor is in one of three states:
`columns` (each rank has its columns of all rows), `rows` (each rank has all columns of its rows) or `whole` (equal on
all ranks). Each function moves a tensor from one state to another, and its backward moves the gradient the other way:

====================  ==================  =============================  ===========================
function              from, to            forward                        backward
====================  ==================  =============================  ===========================
`sum_columns`         columns, whole      all-reduce of partial sums     identity
`columns_to_rows`     columns, rows       all-to-all                     all-to-all
`gather_rows`         rows, whole         all-gather                     all-reduce, keep own rows
`use_on_rows`         whole, rows         identity                       all-reduce
====================  ==================  =============================  ===========================

Scores are inner products, so a score needs `sum_columns` of one number a pair and no embedding travels at all.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from raymm.parallel.grid import Grid, share


def sum_columns(partial: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Add what each rank computed from its own columns (a partial inner product, a partial sum of squares).

    Args:
        partial: Any shape, the same on every rank of the column group.
        grid: The grid of ranks.

    Returns:
        The sum over the column group, equal on all its ranks.
    """
    if grid.column_group is None:
        return partial
    result: torch.Tensor = _SumColumns.apply(partial, grid)
    return result


def columns_to_rows(columns: torch.Tensor, width: int, grid: Grid) -> torch.Tensor:
    """Exchange own columns of all rows for all columns of own rows.

    Args:
        columns: (B, own columns).
        width: D, the columns of all ranks together.
        grid: The grid of ranks.

    Returns:
        (own rows, D), the rows `grid.rows(B)`.
    """
    if grid.column_group is None:
        return columns
    result: torch.Tensor = _ColumnsToRows.apply(columns, width, grid)
    return result


def gather_rows(rows: torch.Tensor, n_rows: int, grid: Grid) -> torch.Tensor:
    """Collect the rows of all ranks, in order: (own rows, C) to (n_rows, C), equal on all ranks."""
    if grid.column_group is None:
        return rows
    result: torch.Tensor = _GatherRows.apply(rows, n_rows, grid)
    return result


def use_on_rows(weight: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Pass a weight that all ranks hold in full to work on split rows; its gradient is the sum over the ranks."""
    if grid.column_group is None:
        return weight
    result: torch.Tensor = _UseOnRows.apply(weight, grid)
    return result


@torch.no_grad()
def collect_columns(columns: torch.Tensor, width: int, grid: Grid) -> torch.Tensor:
    """Put the columns of all ranks side by side, without gradient: (n, own columns) to (n, D) on every rank."""
    if grid.column_group is None:
        return columns.detach()
    parts = [
        columns.new_empty(len(columns), len(share(width, part, grid.column_parallel)))
        for part in range(grid.column_parallel)
    ]
    if len({part.shape for part in parts}) == 1:
        dist.all_gather(parts, columns.detach().contiguous(), group=grid.column_group)
        return torch.cat(parts, dim=1)
    for part, block in enumerate(parts):  # unequal shares: gloo's all-gather wants equal shapes
        if part == grid.column_rank:
            block.copy_(columns)
        dist.broadcast(block, _global_rank(grid, part), group=grid.column_group)
    return torch.cat(parts, dim=1)


class _SumColumns(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, partial: torch.Tensor, grid: Grid) -> torch.Tensor:  # noqa: ARG004
        total = partial.clone()
        dist.all_reduce(total, group=grid.column_group)
        return total

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:  # noqa: ARG004
        return gradients[0], None


class _ColumnsToRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, columns: torch.Tensor, width: int, grid: Grid) -> torch.Tensor:
        ctx.n_rows, ctx.width, ctx.grid = len(columns), width, grid
        return _exchange_to_rows(columns, width, grid)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return _exchange_to_columns(gradients[0], ctx.n_rows, ctx.width, ctx.grid), None, None


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rows: torch.Tensor, n_rows: int, grid: Grid) -> torch.Tensor:
        ctx.n_rows, ctx.grid = n_rows, grid
        whole = rows.new_zeros(n_rows, *rows.shape[1:])
        own = grid.rows(n_rows)
        whole[own.start : own.stop] = rows
        dist.all_reduce(whole, group=grid.column_group)  # each row comes from one rank: the sum is a gather
        return whole

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.grid.column_group)
        own = ctx.grid.rows(ctx.n_rows)
        return total[own.start : own.stop], None, None


class _UseOnRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: torch.Tensor, grid: Grid) -> torch.Tensor:
        ctx.grid = grid
        return weight.view_as(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].clone()
        dist.all_reduce(total, group=ctx.grid.column_group)
        return total, None


def _exchange_to_rows(columns: torch.Tensor, width: int, grid: Grid) -> torch.Tensor:
    parts = range(grid.column_parallel)
    n_rows, own_rows = len(columns), len(grid.rows(len(columns)))
    widths = [len(share(width, part, grid.column_parallel)) for part in parts]
    heights = [len(share(n_rows, part, grid.column_parallel)) for part in parts]
    received = columns.new_empty(own_rows * width)
    dist.all_to_all_single(
        received,
        columns.contiguous().view(-1),
        output_split_sizes=[own_rows * columns_there for columns_there in widths],
        input_split_sizes=[rows_there * columns.shape[1] for rows_there in heights],
        group=grid.column_group,
    )
    blocks = received.split([own_rows * columns_there for columns_there in widths])
    shaped = [block.view(own_rows, columns_there) for block, columns_there in zip(blocks, widths, strict=True)]
    return torch.cat(shaped, dim=1)


def _exchange_to_columns(rows: torch.Tensor, n_rows: int, width: int, grid: Grid) -> torch.Tensor:
    parts = range(grid.column_parallel)
    own_width = len(grid.columns(width))
    widths = [len(share(width, part, grid.column_parallel)) for part in parts]
    heights = [len(share(n_rows, part, grid.column_parallel)) for part in parts]
    received = rows.new_empty(n_rows * own_width)
    dist.all_to_all_single(
        received,
        torch.cat([block.reshape(-1) for block in rows.split(widths, dim=1)]),
        output_split_sizes=[rows_there * own_width for rows_there in heights],
        input_split_sizes=[len(rows) * columns_there for columns_there in widths],
        group=grid.column_group,
    )
    return received.view(n_rows, own_width)


def _global_rank(grid: Grid, column_rank: int) -> int:
    return grid.data_rank * grid.column_parallel + column_rank
