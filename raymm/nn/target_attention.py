"""Which interests speak for an item: attention by the item itself, by its kind, and a mixture of both."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from raymm.nn.linear import linear

Granularity = Literal["both", "fine", "coarse", "mean"]


class InterestAttention(nn.Module):
    """Mixes interests by their agreement with a query: `a = softmax_k <q, Kf(u_k)>`, `u = sum_k a_k Vf(u_k)`.

    Source: MIMNet (arXiv 2408.00038), fine- and coarse-grained target-guided attention; queries are not projected and
    products not divided by sqrt(D).

    Args:
        width: D.
        generator: Source of the start values.
        identity: Start with `Vf` the identity.
    """

    def __init__(self, width: int, generator: torch.Generator, identity: bool = False) -> None:
        super().__init__()
        self.keys, self.values = linear(width, width, generator), linear(width, width, generator)
        if identity:
            with torch.no_grad():
                self.values.weight.copy_(torch.eye(width))
                self.values.bias.zero_()

    def weights(self, queries: torch.Tensor, interests: torch.Tensor) -> torch.Tensor:
        """Return how much each interest counts: (B, D) queries and (B, K, D) interests to (B, K), rows sum to 1."""
        return torch.einsum("bd,bkd->bk", queries, self.keys(interests)).softmax(dim=1)

    def forward(self, queries: torch.Tensor, interests: torch.Tensor) -> torch.Tensor:
        """Return the mixture: (B, D)."""
        return torch.einsum("bk,bkd->bd", self.weights(queries, interests), self.values(interests))


class TargetAttention(nn.Module):
    """Makes one user out of several interests, for one item: `u = (1 - alpha) u_fine + alpha u_coarse`.

    The fine query is the item's vector v, the coarse one the prototype p of its cluster, and
    `alpha = sigmoid([v; p] w + b)`.

    Source: MIMNet (arXiv 2408.00038), multi-granularity target-guided attention and adaptive fusion.

    Args:
        width: D.
        generator: Source of the start values.
        granularity: `both`; `fine` or `coarse` alone; or `mean`, both in equal parts.
        identity: Start with both value maps the identity.
    """

    def __init__(
        self, width: int, generator: torch.Generator, granularity: Granularity = "both", identity: bool = False
    ) -> None:
        super().__init__()
        self._granularity = granularity
        self.fine = InterestAttention(width, generator, identity) if granularity != "coarse" else None
        self.coarse = InterestAttention(width, generator, identity) if granularity != "fine" else None
        self.fusion = linear(2 * width, 1, generator) if granularity == "both" else None

    def share(self, items: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        """Return alpha, the share of the coarse mixture: (B, D) each to (B,)."""
        if self.fusion is not None:
            return torch.sigmoid(self.fusion(torch.cat([items, prototypes], dim=1))).squeeze(1)
        constant = {"fine": 0.0, "coarse": 1.0, "mean": 0.5}[self._granularity]
        return items.new_full((len(items),), constant)

    def forward(self, interests: torch.Tensor, items: torch.Tensor, prototypes: torch.Tensor) -> torch.Tensor:
        """Return the user for the item: (B, K, D) interests, (B, D) items, (B, D) prototypes to (B, D)."""
        share = self.share(items, prototypes)[:, None]
        mixed = torch.zeros_like(items)
        if self.fine is not None:
            mixed = mixed + (1 - share) * self.fine(items, interests)
        if self.coarse is not None:
            mixed = mixed + share * self.coarse(prototypes, interests)
        return mixed
