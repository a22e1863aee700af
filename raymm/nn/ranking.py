"""Losses that push what a user chose above what he did not."""

from __future__ import annotations

import torch
from torch.nn import functional


def bpr(positive: torch.Tensor, negative: torch.Tensor, total: float) -> torch.Tensor:
    """Compute the Bayesian personalised ranking loss, `- sum log sigmoid(s+ - s-) / total`.

    Source: Rendle et al., "BPR: Bayesian Personalized Ranking from Implicit Feedback", UAI 2009, BPR-Opt without its
    regulariser.

    Args:
        positive: (B,) scores of chosen items.
        negative: (B,) scores of items that were not.
        total: What the sum is divided by; the number of rows over all ranks gives the mean.

    Returns:
        A scalar.
    """
    return functional.softplus(negative - positive).sum() / total


def binary_cross_entropy(positive: torch.Tensor, negative: torch.Tensor, total: float) -> torch.Tensor:
    """Compute `- sum [log sigmoid(s+) + log(1 - sigmoid(s-))] / (2 total)` for observed and unobserved pairs.

    Args:
        positive: (B,) scores of chosen items.
        negative: (B,) scores of items that were not.
        total: Number of rows over all ranks.

    Returns:
        A scalar.
    """
    return (functional.softplus(-positive).sum() + functional.softplus(negative).sum()) / (2 * total)
