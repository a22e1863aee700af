"""Noise that makes two views of one representation."""

from __future__ import annotations

import torch
from torch.nn import functional


def perturbed(rows: torch.Tensor, draws: torch.Tensor, length: float) -> torch.Tensor:
    """Push each row by a random vector of fixed length into its own orthant, `x + sign(x) * length * r / |r|`.

    Source: SimGCL (arXiv 2112.08679), noise-based augmentation; GUME (arXiv 2407.12338), user-modality enhancement,
    where the length is 0.1.

    Args:
        rows: (B, D).
        draws: (B, D) uniform numbers in [0, 1).
        length: Euclidean length of the noise of a row without zeros, >= 0.

    Returns:
        (B, D). Signs stay, zeros stay; the noise has no gradient of its own.
    """
    return rows + torch.sign(rows.detach()) * functional.normalize(draws, dim=1) * length
