"""What modalities have in common, and what each has for itself, mixed by learned preferences."""

from __future__ import annotations

import torch
from torch import nn

from raymm.nn.views import ViewAttention, combine
from raymm.parallel.collectives import columns_to_rows, gather_rows, use_on_rows
from raymm.parallel.grid import Grid


class PreferenceMixture(nn.Module):
    """Separates what modalities share from what each adds, and joins both by learned preferences.

        C = sum over q of a_q X_q,   a = softmax over q of w^T tanh(W X_q + b)
        I = (C + sum over q of sigmoid(H W_q + b_q) * (X_q - C)) / (M + 1)

    C is what the modalities share; `X_q - C` is what modality q adds, let through as far as the behaviour H speaks for
    it.

    Source: MGCN (arXiv 2308.03588), behavior-aware fuser; GUME (arXiv 2407.12338), attribute separation.

    Differs from the source: any number of modalities, and entities that lack some of them; these take no part in the
    entity's attention and add nothing.

    Args:
        n_modalities: M >= 1.
        width: D, columns over all ranks.
        grid: The grid of ranks.
        generator: Source of the start values, which are equal on all ranks.
    """

    def __init__(self, n_modalities: int, width: int, grid: Grid, generator: torch.Generator) -> None:
        super().__init__()
        self._grid, self._own = grid, grid.columns(width)
        self.attention = ViewAttention(width, grid, generator)
        bound = 1.0 / width**0.5
        self.gates = nn.Parameter(torch.empty(n_modalities, width, width).uniform_(-bound, bound, generator=generator))
        self.biases = nn.Parameter(torch.empty(n_modalities, width).uniform_(-bound, bound, generator=generator))

    def forward(
        self, explicit: tuple[torch.Tensor, ...], behaviour: torch.Tensor, present: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix the modalities of some entities.

        Args:
            explicit: M tensors (B, own columns), X_q.
            behaviour: (B, D) H, all columns, equal on all ranks of the column group (`whole_rows`).
            present: (B, M) float32, one where the entity has the modality; None where all have all.

        Returns:
            I (B, own columns), and the attention weights (B, M). Rows of weights sum to one, or to zero for an entity
            that has no modality, whose I is zero.
        """
        weights = self.attention(explicit)
        if present is not None:
            # The softmax over those present is the softmax over all, scaled up.
            weights = weights * present
            weights = weights / weights.sum(1, keepdim=True).clamp_min(torch.finfo(weights.dtype).tiny)
        coarse = combine(explicit, weights)
        gates, biases = use_on_rows(self.gates, self._grid), use_on_rows(self.biases, self._grid)
        total = coarse
        for place, view in enumerate(explicit):
            columns = slice(self._own.start, self._own.stop)
            gate = torch.sigmoid(torch.addmm(biases[place, columns], behaviour, gates[place, :, columns]))
            fine = gate * (view - coarse)
            total = total + (fine if present is None else fine * present[:, place, None])
        return total / (len(explicit) + 1), weights


def whole_rows(columns: torch.Tensor, width: int, grid: Grid) -> torch.Tensor:
    """Collect all columns of some rows on every rank, with gradient: (B, own columns) to (B, D)."""
    return gather_rows(columns_to_rows(columns, width, grid), len(columns), grid)
