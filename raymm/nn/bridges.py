"""Bridges between two domains, one an interest, made by a network from the interest."""

from __future__ import annotations

import torch
from torch import nn

from raymm.nn.linear import linear


class MetaNetwork(nn.Module):
    """Makes a D x D bridge from an interest: `vec(W_k) = ReLU(e_k A1 + c1) A2 + c2`, shared by all interests.

    Source: MIMNet (arXiv 2408.00038), `W_ui = g(E_ui; phi)`; PTUPCDR (arXiv 2110.11154) makes one bridge alike.

    Args:
        width: D.
        hidden: Columns of the hidden layer.
        generator: Source of the start values.
        identity: Start at bridges that change nothing: A2 small, c2 the identity. False starts as torch does.
    """

    def __init__(self, width: int, hidden: int, generator: torch.Generator, identity: bool = False) -> None:
        super().__init__()
        self._width = width
        self.inner = linear(width, hidden, generator)
        self.outer = linear(hidden, width * width, generator)
        if identity:
            with torch.no_grad():
                self.outer.weight.mul_(0.01)
                self.outer.bias.copy_(torch.eye(width).reshape(-1))

    def forward(self, interests: torch.Tensor) -> torch.Tensor:
        """Return the bridges: (..., D) interests to (..., D, D)."""
        flat: torch.Tensor = self.outer(torch.relu(self.inner(interests)))
        return flat.reshape(*interests.shape[:-1], self._width, self._width)


def cross(users: torch.Tensor, bridges: torch.Tensor) -> torch.Tensor:
    """Carry users over each of their bridges, `u W_k`: (B, D) and (B, K, D, D) to (B, K, D)."""
    return torch.einsum("bd,bkde->bke", users, bridges)
