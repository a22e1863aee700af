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


def sampled_softmax(positive: torch.Tensor, negatives: torch.Tensor, total: float) -> torch.Tensor:
    """Compute `- sum log [exp(s+) / (exp(s+) + sum_n exp(s_n))] / total`: the chosen item against all drawn at once.

    Source: Wu et al., "On the Effectiveness of Sampled Softmax Loss for Item Recommendation" (arXiv 2201.02327).
    Differs from the source: inner products without temperature, and no correction for how often an item is drawn.

    Args:
        positive: (B,) scores of chosen items.
        negatives: (B, N) scores of drawn items; minus infinity leaves one out of its row.
        total: What the sum is divided by; the number of rows over all ranks gives the mean.

    Returns:
        A scalar.
    """
    return (torch.cat([positive[:, None], negatives], dim=1).logsumexp(dim=1) - positive).sum() / total
