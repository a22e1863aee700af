"""Contrastive losses over a matrix of cosines."""

from __future__ import annotations

from typing import Literal

import torch

from raymm.parallel.collectives import sum_columns
from raymm.parallel.grid import Grid


def cosines(left: torch.Tensor, right: torch.Tensor, grid: Grid) -> torch.Tensor:
    """Compute the cosines of all pairs of rows, of which each rank holds its columns.

    Args:
        left: (n, own columns).
        right: (m, own columns).
        grid: The grid of ranks.

    Returns:
        (n, m), equal on all ranks of the column group; rows of zeros have cosine 0 with everything.
    """
    n, m = len(left), len(right)
    partial = torch.cat([(left @ right.T).reshape(-1), (left * left).sum(1), (right * right).sum(1)])
    products, left_squares, right_squares = sum_columns(partial, grid).split([n * m, n, m])
    norms = left_squares.clamp_min(1e-24).sqrt()[:, None] * right_squares.clamp_min(1e-24).sqrt()[None, :]
    result: torch.Tensor = products.view(n, m) / norms
    return result


def info_nce(similarities: torch.Tensor, temperature: float) -> torch.Tensor:
    """Compute `mean_b - log softmax(S[b] / t)[b]`: row b's partner is column b, the other columns are its negatives.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, eq. 4.

    Args:
        similarities: (n, n).
        temperature: t > 0.

    Returns:
        A scalar.
    """
    return -torch.log_softmax(similarities / temperature, dim=1).diagonal().mean()


def guided_contrastive(
    similarities: torch.Tensor,
    rows: torch.Tensor,
    columns: torch.Tensor,
    temperature: float,
    form: Literal["cross_entropy", "log_sum"] = "cross_entropy",
) -> torch.Tensor:
    """Compute the guidance user contrastive loss: users are drawn to those whom the transport plan matches them with.

    With q the plan brought to row sums of one and `p = softmax(S / t)` by rows, `cross_entropy` is the mean over rows
    of `- sum_j q[i,j] log p[i,j]`; `log_sum` is the mean of `- log sum_j q[i,j] p[i,j]`, a lower value by Jensen's
    inequality. Both are averaged with the same in the other direction. Rows without mass do not count.
    For a permutation as plan both are InfoNCE.

    Source: SIEOUG (arXiv 2502.16068), guidance user contrastive loss; the formula is derived from the method's
    description, the paper's own was not available.

    Args:
        similarities: (n, m) cosines.
        rows: (n, m) the plan with rows that sum to one (or zero), without gradient.
        columns: (n, m) the plan with columns that sum to one (or zero), without gradient.
        temperature: t > 0.
        form: Which of the two.

    Returns:
        A scalar.
    """
    forward = _one_direction(similarities, rows, temperature, form)
    return (forward + _one_direction(similarities.T, columns.T, temperature, form)) / 2


def _one_direction(similarities: torch.Tensor, guide: torch.Tensor, temperature: float, form: str) -> torch.Tensor:
    matched = guide.sum(1) > 0
    if not matched.any():
        return similarities.sum() * 0.0
    guide = guide[matched]
    log_p = torch.log_softmax(similarities / temperature, dim=1)[matched]
    if form == "cross_entropy":
        return -(guide * log_p).sum(1).mean()
    tiny = torch.finfo(guide.dtype).tiny
    return -torch.logsumexp(guide.clamp_min(tiny).log() + log_p, dim=1).mean()
