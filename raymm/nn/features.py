"""Item features as a model's input: frozen or trained, projected to own columns, missing ones left out."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from raymm.contracts import Feature
from raymm.parallel.collectives import sum_columns, use_on_rows
from raymm.parallel.columns import ColumnTable
from raymm.parallel.grid import Grid


class FrozenFeatures:
    """The features of one modality as constants, each distinct row held and multiplied once.

    Items of one brand and category, or without the modality, often share a row; a product with the distinct rows,
    spread to the items afterwards, gives the same result for less.

    Args:
        feature: (I, F) values and (I,) mask; rows of absent items count as zero.
        device: Where the values shall live.
    """

    def __init__(self, feature: Feature, device: torch.device) -> None:
        values = np.where(feature.present[:, None], feature.values, np.float32(0)) + np.float32(0)  # no negative zeros
        rows, places = _distinct(np.ascontiguousarray(values, dtype=np.float32))
        self._rows = torch.from_numpy(rows).to(device)
        self._places = torch.from_numpy(places).to(device) if len(rows) < len(values) else None

    @property
    def width(self) -> int:
        """Columns F."""
        return self._rows.shape[1]

    def project(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return `F W + b` of all items: (F, C) and (C,) to (I, C)."""
        projected = torch.addmm(bias, self._rows, weight)
        return projected if self._places is None else projected.index_select(0, self._places)

    def project_rows(self, items: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return `F W + b` of some items (B,): (B, C)."""
        places = items if self._places is None else self._places[items]
        return torch.addmm(bias, self._rows.index_select(0, places), weight)


class TrainedFeatures(nn.Module):
    """The features of one modality as parameters that start at the given values; each rank holds its columns of them.

    Args:
        feature: (I, F) values and (I,) mask; rows of absent items start at zero.
        grid: The grid of ranks.
    """

    def __init__(self, feature: Feature, grid: Grid) -> None:
        super().__init__()
        self._grid = grid
        n_items, width = feature.values.shape
        self.table = ColumnTable(n_items, width, grid, torch.Generator().manual_seed(0))
        own = grid.columns(width)
        start = np.where(feature.present[:, None], feature.values, np.float32(0))[:, own.start : own.stop]
        with torch.no_grad():
            self.table.weight.copy_(torch.from_numpy(np.ascontiguousarray(start)))

    @property
    def width(self) -> int:
        """Columns F over all ranks."""
        return self.table.share.width

    def project(self, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        """Return the own columns of `F W + b` of all items: (F, D) and (D,), whole, to (I, own columns).

        The inner dimension is split over the ranks, so the partial products of all columns are summed: (I, D) numbers
        travel once forward and once backward.
        """
        rows, columns = self.table.share, self._grid.columns(weight.shape[1])
        whole = sum_columns(self.table() @ weight[rows.start : rows.stop], self._grid)
        # Each rank goes on with its own columns of the sum: their gradients are put together again.
        return (use_on_rows(whole, self._grid) + bias)[:, columns.start : columns.stop]


class Projection(nn.Module):
    """Projects the features of one modality to embedding columns, `F W + b`.

    Items that lack them are zero or, where the feature says so, share one trained vector that starts at zero.

    Args:
        feature: Values and mask.
        width: D, columns of the result over all ranks.
        grid: The grid of ranks.
        device: Where the features shall live.
        generator: Source of the start values of W; b starts at zero.
    """

    def __init__(
        self, feature: Feature, width: int, grid: Grid, device: torch.device, generator: torch.Generator
    ) -> None:
        super().__init__()
        self._features = FrozenFeatures(feature, device)
        self._present = presence(feature, device)
        self.weight = ColumnTable(self._features.width, width, grid, generator)
        self.bias = ColumnTable(1, width, grid, generator)
        shared = feature.learned and self._present is not None
        self.absent = ColumnTable(1, width, grid, torch.Generator().manual_seed(0)) if shared else None
        with torch.no_grad():
            self.bias.weight.zero_()
            if self.absent is not None:
                self.absent.weight.zero_()

    def forward(self) -> torch.Tensor:
        """Return (I, own columns)."""
        return self._masked(self._features.project(self.weight(), self.bias()[0]), self._present)

    def rows(self, items: torch.Tensor) -> torch.Tensor:
        """Return the rows of some items alone: (B,) to (B, own columns)."""
        projected = self._features.project_rows(items, self.weight(), self.bias()[0])
        return self._masked(projected, self.present(items))

    def present(self, items: torch.Tensor) -> torch.Tensor | None:
        """Return (B,) float32, one where an item has the modality; None where all items have it."""
        return None if self._present is None else self._present[items]

    def _masked(self, projected: torch.Tensor, present: torch.Tensor | None) -> torch.Tensor:
        if present is None:
            return projected
        kept = projected * present[:, None]
        return kept if self.absent is None else kept + (1 - present[:, None]) * self.absent()


def presence(feature: Feature, device: torch.device) -> torch.Tensor | None:
    """Return (I,) float32, one where the item has the modality; None where all have it, so that nothing is masked."""
    if feature.present.all():
        return None
    return torch.from_numpy(feature.present.astype(np.float32)).to(device)


def _distinct(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the distinct rows in order of first appearance, and each row's place among them."""
    keys = values.view(np.dtype((np.void, values.shape[1] * values.itemsize))).ravel()
    _, first, groups = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return values[first[order]], rank[groups]
