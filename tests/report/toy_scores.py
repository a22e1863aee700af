"""A scorer of random tables."""

from __future__ import annotations

import torch

from raymm.scorers import DotScorer


def toy_scorer(n_users: int, n_items: int, seed: int) -> DotScorer:
    """Return inner products of normal tables of four columns."""
    generator = torch.Generator().manual_seed(seed)
    users, items = (torch.randn(rows, 4, generator=generator) for rows in (n_users, n_items))
    return DotScorer(users, items)
