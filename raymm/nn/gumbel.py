"""Memberships in clusters that are learned with everything else."""

from __future__ import annotations

import torch
from torch import nn

from raymm.parallel.collectives import use_on_rows
from raymm.parallel.grid import Grid


class GumbelClusters(nn.Module):
    """Assigns items to clusters by Gumbel-softmax of their features, and propagates over the hypergraph of these.

    `gamma = softmax((X W + noise) / temperature)` with Gumbel noise while training and none afterwards, and
    `P = gamma De^-1 gamma^T`, De the masses of the clusters. Source: Jang, Gu, Poole, "Categorical reparameterization
    with Gumbel-softmax" (arXiv 1611.01144), eq. 2; in place of the Gromov-Wasserstein clusters of SIEOUG
    (arXiv 2502.16068), as a comparison. A cluster whose mass is below the least normal number takes no part.

    Every rank holds W and gamma whole, and propagates its own columns.

    Args:
        points: (I, F) features.
        centres: (K, F) where the clusters start: W is their transpose.
        temperature: Of the softmax.
        grid: The grid of ranks.
    """

    def __init__(self, points: torch.Tensor, centres: torch.Tensor, temperature: float, grid: Grid) -> None:
        super().__init__()
        self._points, self._temperature, self._grid = points, temperature, grid
        self.weight = nn.Parameter(centres.T.contiguous().clone())

    def memberships(self, seed: int | None = None) -> torch.Tensor:
        """Return gamma (I, K), rows summing to one; with the noise of `seed`, or without any."""
        logits = self._points @ use_on_rows(self.weight, self._grid)
        if seed is not None:
            generator = torch.Generator().manual_seed(seed)
            uniform = torch.rand(logits.shape, generator=generator).clamp(1e-20, 1 - 1e-7).to(logits.device)
            logits = logits - (-uniform.log()).log()
        return torch.softmax(logits / self._temperature, dim=1)

    def forward(self, items: torch.Tensor, layers: int, seed: int | None = None) -> torch.Tensor:
        """Propagate over the hypergraph: (I, own columns) to (I, own columns)."""
        gamma = self.memberships(seed)
        masses = gamma.sum(dim=0)[:, None].clamp_min(torch.finfo(gamma.dtype).tiny)
        for _ in range(layers):
            items = gamma @ ((gamma.T @ items) / masses)
        return items


@torch.no_grad()
def effective_share(gamma: torch.Tensor) -> float:
    """Return how many clusters the memberships (I, K) tell apart, as a share of K.

    It is `exp(entropy of the masses - mean entropy of the rows) / K`: 1 for equal clusters with each item in one, 1 / K
    where all items are in one, or all in all alike.
    """
    masses = gamma.sum(dim=0) / len(gamma)
    information = torch.special.entr(masses).sum() - torch.special.entr(gamma).sum(dim=1).mean()
    return float(information.exp() / gamma.shape[1])
