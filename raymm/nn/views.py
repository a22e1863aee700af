"""Attention over several views of the same entities."""

from __future__ import annotations

import torch
from torch import nn

from raymm.parallel.collectives import columns_to_rows, gather_rows, use_on_rows
from raymm.parallel.grid import Grid


class ViewAttention(nn.Module):
    """Weighs the views of an entity: `s_c = w^T tanh(W x_c + b)`, weights = softmax over the views c.

    Source: SIEOUG (arXiv 2502.16068), attention weights alpha, alpha-bar and alpha-breve; derived form, the paper's own
    formula was not available.

    The views travel from columns to rows, each rank weighs its rows, and the weights (one number a view and row) are
    gathered; so no rank holds more than its rows of a view.

    Args:
        width: D, columns of a view over all ranks.
        grid: The grid of ranks.
        generator: Source of the start values, which are equal on all ranks.
    """

    def __init__(self, width: int, grid: Grid, generator: torch.Generator) -> None:
        super().__init__()
        self._width, self._grid = width, grid
        bound = 1.0 / width**0.5

        def start(*shape: int) -> nn.Parameter:
            return nn.Parameter(torch.empty(*shape).uniform_(-bound, bound, generator=generator))

        self.projection, self.bias, self.query = start(width, width), start(width), start(width)

    def forward(self, views: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Return the weights of the views.

        Args:
            views: C tensors (B, own columns), row b of each the same entity.

        Returns:
            (B, C), rows sum to one, equal on all ranks of the column group.
        """
        projection, bias, query = (
            use_on_rows(weight, self._grid) for weight in (self.projection, self.bias, self.query)
        )
        rows = [columns_to_rows(view, self._width, self._grid) for view in views]
        logits = torch.stack([torch.tanh(view @ projection.T + bias) @ query for view in rows], dim=1)
        return gather_rows(torch.softmax(logits, dim=1), len(views[0]), self._grid)


def combine(views: tuple[torch.Tensor, ...], weights: torch.Tensor) -> torch.Tensor:
    """Add the views, each row at its weight: C x (B, own columns) and (B, C) to (B, own columns)."""
    return torch.stack([view * weights[:, place, None] for place, view in enumerate(views)]).sum(0)
