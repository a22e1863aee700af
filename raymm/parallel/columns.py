"""Parameters of which each rank holds its own columns."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from raymm.parallel.grid import Grid

# Rows drawn at a time: a constant, so that a table's start does not depend on the number of ranks or on memory.
_ROWS_AT_ONCE = 65_536


@dataclass(frozen=True)
class ColumnShare:
    """Columns `start` to `stop` of a parameter that has `width` columns over all ranks."""

    start: int
    stop: int
    width: int


class ColumnTable(nn.Module):
    """A table (rows, D) of which this rank holds its columns: embeddings, or a projection `F W`.

    The start is drawn from the uniform distribution of Glorot and Bengio (2010) over the whole table, so the values do
    not depend on the number of ranks.

    Args:
        n_rows: Rows of the table.
        width: D, columns of the whole table.
        grid: The grid of ranks.
        generator: Source of the start values; it advances alike on every rank.
    """

    def __init__(self, n_rows: int, width: int, grid: Grid, generator: torch.Generator) -> None:
        super().__init__()
        own = grid.columns(width)
        self.share = ColumnShare(own.start, own.stop, width)
        bound = (6.0 / (n_rows + width)) ** 0.5
        weight = torch.empty(n_rows, len(own))
        for start in range(0, n_rows, _ROWS_AT_ONCE):
            rows = min(_ROWS_AT_ONCE, n_rows - start)
            block = torch.empty(rows, width).uniform_(-bound, bound, generator=generator)
            weight[start : start + rows] = block[:, own.start : own.stop]
        self.weight = nn.Parameter(weight)

    def forward(self) -> torch.Tensor:
        """Return the own columns, (rows, own columns)."""
        return self.weight


def column_shares(model: nn.Module) -> dict[str, ColumnShare]:
    """Name every parameter of `model` that is split by columns, with the columns that this rank holds."""
    return {
        f"{name}.weight" if name else "weight": module.share
        for name, module in model.named_modules()
        if isinstance(module, ColumnTable)
    }
