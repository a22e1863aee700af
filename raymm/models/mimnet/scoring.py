"""The finished network as arrays: what it knows of users, and what items ask."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from raymm.models.mimnet.network import MimnetNet, UserSide
from raymm.ratings.table import ColdStart
from raymm.scorers import InterestScorer

_USERS = 1 << 12  # users whose histories are read at a time


def interest_scorer(
    network: MimnetNet, problem: ColdStart, base: tuple[np.ndarray, np.ndarray], gain: float
) -> InterestScorer:
    """Read every user's history once, and put what is left to do for an item into a scorer.

    Args:
        network: The trained network.
        problem: Who is whom; users whom the source does not know get nothing from the network.
        base: (target users, E) and (target items, E), whose inner products are added.
        gain: What the network's output is multiplied with.
    """
    source_of = torch.from_numpy(problem.source_of)
    with torch.no_grad():
        parts = [spoken(network, network.user_side(rows.clamp_min(0))) for rows in source_of.split(_USERS)]
        keys, values = (torch.cat(side) for side in zip(*parts, strict=True))
        values = values * (source_of >= 0).to(values)[:, None, None, None]
        queries = [network.items, functional.embedding(network.cluster, network.prototypes)]
        coarse = network.attention.share(*queries)
        shares = gain * torch.stack([1 - coarse, coarse], dim=1)
    users, items = (torch.from_numpy(np.ascontiguousarray(rows, dtype=np.float32)) for rows in base)
    return InterestScorer(
        users, items, keys.contiguous(), values.contiguous(), torch.stack(queries, dim=1), shares, network.items
    )


def spoken(network: MimnetNet, side: UserSide) -> tuple[torch.Tensor, torch.Tensor]:
    """Return keys and values of both attentions, (B, 2, K, D) each; of one that is left out, zeros."""
    pairs = [
        (torch.zeros_like(side.transferred),) * 2
        if attention is None
        else (attention.keys(side.transferred), attention.values(side.transferred))
        for attention in (network.attention.fine, network.attention.coarse)
    ]
    keys, values = (torch.stack(parts, dim=1) for parts in zip(*pairs, strict=True))
    return keys, values
