"""Ranks laid out as columns x data: who holds which embedding columns, who works on which rows."""

from __future__ import annotations

from dataclasses import dataclass

import torch.distributed as dist

from raymm.errors import ClusterError


@dataclass(frozen=True, eq=False)
class Grid:
    """One rank's place among `column_parallel * data_parallel` ranks.

    Ranks of a column group see the same batch and hold different columns of every embedding table.
    Ranks of a data group hold the same columns and see different rows of the batch.
    Rank = `data_rank * column_parallel + column_rank`, so that a column group sits on neighbouring ranks.

    Attributes:
        column_parallel: Ranks in a column group.
        data_parallel: Ranks in a data group.
        column_rank: Own place in the column group.
        data_rank: Own place in the data group.
        column_group: Process group of the column group; None where it has one rank.
        data_group: Process group of the data group; None where it has one rank.
    """

    column_parallel: int = 1
    data_parallel: int = 1
    column_rank: int = 0
    data_rank: int = 0
    column_group: dist.ProcessGroup | None = None
    data_group: dist.ProcessGroup | None = None

    @property
    def world_size(self) -> int:
        """Number of all ranks."""
        return self.column_parallel * self.data_parallel

    @property
    def rank(self) -> int:
        """Own rank among all."""
        return self.data_rank * self.column_parallel + self.column_rank

    def columns(self, width: int) -> range:
        """Return the columns of a table of `width` columns that this rank holds.

        Raises:
            ClusterError: There are more ranks in the column group than columns.
        """
        if width < self.column_parallel:
            raise ClusterError(
                f"{width} columns for {self.column_parallel} column-parallel ranks",
                "at least one column a rank",
                "model.width and scale.column_parallel",
                "use fewer column-parallel ranks (the rest can be data-parallel)",
            )
        return share(width, self.column_rank, self.column_parallel)

    def rows(self, n_rows: int) -> range:
        """Return the rows that this rank works on where row work is split over the column group."""
        return share(n_rows, self.column_rank, self.column_parallel)

    def batch_rows(self, n_rows: int) -> range:
        """Return the rows of a global batch that this rank's column group sees."""
        return share(n_rows, self.data_rank, self.data_parallel)


def share(total: int, part: int, parts: int) -> range:
    """Cut `range(total)` into `parts` runs whose lengths differ by one at most, and return run `part`."""
    return range(total * part // parts, total * (part + 1) // parts)


def single() -> Grid:
    """Return the grid of one rank, which needs no process group."""
    return Grid()


def make_grid(column_parallel: int, data_parallel: int) -> Grid:
    """Lay the ranks of the default process group out as a grid; collective, called by every rank.

    Raises:
        ClusterError: There is no process group, or its size is not `column_parallel * data_parallel`.
    """
    world = dist.get_world_size() if dist.is_initialized() else 1
    if world != column_parallel * data_parallel:
        raise ClusterError(
            f"{world} ranks", f"{column_parallel} x {data_parallel} ranks", "grid", "start as many workers as asked for"
        )
    if world == 1:
        return single()
    data_rank, column_rank = divmod(dist.get_rank(), column_parallel)
    column_groups = [
        dist.new_group([row * column_parallel + column for column in range(column_parallel)])
        for row in range(data_parallel)
    ]
    data_groups = [
        dist.new_group([row * column_parallel + column for row in range(data_parallel)])
        for column in range(column_parallel)
    ]
    return Grid(
        column_parallel, data_parallel, column_rank, data_rank, column_groups[data_rank], data_groups[column_rank]
    )
