"""Several interests out of one history: capsules with dynamic routing."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

_EPSILON = 1e-8
_NEVER = -1e9

RoutingStart = Literal["random", "fixed"]


def squash(rows: torch.Tensor) -> torch.Tensor:
    """Shorten vectors to lengths below 1, `|z|^2 / (1 + |z|^2) * z / sqrt(|z|^2 + 1e-8)`; directions stay.

    Source: Sabour, Frosst, Hinton, "Dynamic Routing Between Capsules" (arXiv 1710.09829), eq. 1.

    Args:
        rows: (..., D).
    """
    squared = rows.square().sum(dim=-1, keepdim=True)
    return squared / (1 + squared) * rows / torch.sqrt(squared + _EPSILON)


def coupling(logits: torch.Tensor, present: torch.Tensor, compat_padding: bool = False) -> torch.Tensor:
    """Share each item of a history out among the interests: a softmax over interests, zero where there is no item.

    Differs from the source where `compat_padding` is off: MIMNet's published code (arXiv 2408.00038) sets the logits of
    missing items to -1e9 before a softmax over interests, in which they are all equal, so that each missing item
    counts `1 / K` for each interest. `compat_padding` does as it does.

    Args:
        logits: (B, K, L) of K interests and L places of the history.
        present: (B, L) bool, whether there is an item.
        compat_padding: Count missing items as the published code does.

    Returns:
        (B, K, L); over interests it sums to 1 for an item, and to 0 (with `compat_padding` to 1) where there is none.
    """
    place = present[:, None, :]
    if compat_padding:
        return logits.masked_fill(~place, _NEVER).softmax(dim=1)
    return logits.softmax(dim=1) * place


class CapsuleLayer(nn.Module):
    """Groups a history into K interests.

    The history is mapped by one matrix, `H' = H S`; then, `iterations` times, interests are squashed sums of the mapped
    items, `e_k = squash(sum_l w_kl H'_l)`, and items turn to the interests that they agree with, `b_kl += <e_k, H'_l>`.
    Gradients flow through the last round only.

    Source: MIMNet (arXiv 2408.00038), multi-interest extraction; the routing is that of Sabour et al. (arXiv
    1710.09829), procedure 1.

    Args:
        width: D of items and interests; the published code knows 10 only.
        interests: K.
        length: L, places of a history.
        iterations: Rounds of routing, from 1.
        generator: Draws S from N(0, 1), and the start of the routing where it is fixed.
        start: `random` draws the first logits from N(0, 1) at every call, also when predicting, as the published code
            does; `fixed` draws them once.
        compat_padding: See `coupling`.
    """

    routing: torch.Tensor

    def __init__(  # noqa: PLR0913 - the settings of one layer
        self,
        width: int,
        interests: int,
        length: int,
        iterations: int,
        generator: torch.Generator,
        start: RoutingStart = "fixed",
        compat_padding: bool = False,
    ) -> None:
        super().__init__()
        self._iterations, self._start, self._compat = iterations, start, compat_padding
        self._shape = (interests, length)
        self.mapping = nn.Parameter(torch.randn(width, width, generator=generator))
        self.register_buffer("routing", torch.randn(interests, length, generator=generator))

    def forward(
        self, history: torch.Tensor, present: torch.Tensor, generator: torch.Generator | None = None
    ) -> torch.Tensor:
        """Return the interests: (B, L, D) items and (B, L) bool to (B, K, D).

        Args:
            history: Embeddings of the items, in the order of the places.
            present: Where there is an item.
            generator: Draws the first logits where `start` is `random`; None draws from torch's own.
        """
        return self.route(history @ self.mapping, present, self.first_logits(len(history), history, generator))

    def first_logits(self, rows: int, like: torch.Tensor, generator: torch.Generator | None = None) -> torch.Tensor:
        """Return the logits that the routing of `rows` histories starts from: (rows, K, L)."""
        if self._start == "fixed":
            return self.routing.to(like).expand(rows, -1, -1)
        return torch.randn(rows, *self._shape, generator=generator).to(like)

    def route(self, mapped: torch.Tensor, present: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        """Return the interests of mapped items (B, L, D), from given first logits (B, K, L): (B, K, D)."""
        still = mapped.detach()
        for _ in range(self._iterations - 1):
            interests = squash(coupling(logits, present, self._compat) @ still)
            logits = logits + interests @ still.transpose(1, 2)
        return squash(coupling(logits, present, self._compat) @ mapped)


def effective_number(interests: torch.Tensor) -> torch.Tensor:
    """Say how many different interests users have: `(sum s)^2 / sum s^2` of the squared singular values s of the set.

    Args:
        interests: (B, K, D).

    Returns:
        (B,) between 1 (all alike up to length) and min(K, D); 0 where all are zero.
    """
    powers: torch.Tensor = torch.linalg.svdvals(interests).square()
    total = powers.sum(dim=1)
    return total.square() / powers.square().sum(dim=1).clamp_min(1e-30)


def pairwise_cosines(interests: torch.Tensor) -> torch.Tensor:
    """Return the cosines between all pairs of a user's interests: (B, K, D) to (B, K (K - 1) / 2)."""
    unit = nn.functional.normalize(interests, dim=2)
    upper = torch.triu_indices(interests.shape[1], interests.shape[1], offset=1, device=interests.device)
    cosines: torch.Tensor = torch.einsum("bpd,bpd->bp", unit[:, upper[0]], unit[:, upper[1]])
    return cosines
