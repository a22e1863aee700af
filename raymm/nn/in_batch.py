"""Contrastive terms whose negatives are the rest of the batch, over its distinct rows, split over the ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from raymm.contracts import Triples
from raymm.parallel.collectives import gather_rows
from raymm.parallel.grid import Grid

_LEAST_BOUNDED = 0.025  # exp(-2 / t) of a lower temperature leaves single precision
_ROWS_AT_ONCE = 256  # rows of similarities held at a time, which stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Distinct:
    """The distinct entities of a batch.

    Attributes:
        ids: (n,) int64, ascending.
        places: (B,) int64, where each row's entity stands in `ids`.
        counts: (n,) float32, rows of each entity; they sum to B.
    """

    ids: torch.Tensor
    places: torch.Tensor
    counts: torch.Tensor


def distinct(ids: torch.Tensor) -> Distinct:
    """List the distinct entities among (B,) ids."""
    unique, places, counts = torch.unique(ids, return_inverse=True, return_counts=True)
    return Distinct(unique, places, counts.float())


def whole_batch(triples: Triples, grid: Grid) -> Triples:
    """Collect the ids of all data-parallel ranks' rows, so that each rank sees the same negatives as one rank would."""
    if grid.data_group is None:
        return triples
    across = Grid(
        column_parallel=grid.data_parallel, column_rank=grid.data_rank, column_group=grid.data_group
    )  # the data ranks in the part of the columns' ranks: the same collectives serve
    rows = torch.stack([triples.users, triples.positives, triples.negatives], dim=1)
    users, positives, negatives = gather_rows(rows, triples.total, across).unbind(1)
    return Triples(users, positives, negatives, triples.total)


def in_batch_info_nce(
    anchors: torch.Tensor, others: torch.Tensor, counts: torch.Tensor, temperature: float, grid: Grid
) -> torch.Tensor:
    """Compute this rank's part of `sum_b c_b [log sum_j c_j exp(<a_b, o_j> / t) - <a_b, o_b> / t] / sum_b c_b`.

    With unit rows this is InfoNCE over a batch in which entity b stands c_b times, as if each copy was a row: the
    denominator counts copies as the published codes do. Similarities are held for a few rows at a time and the gradient
    is taken with them, so memory is linear in the batch and each similarity is exponentiated once.

    Source: van den Oord et al., "Representation Learning with Contrastive Predictive Coding", 2018, eq. 4; as used in
    GUME (arXiv 2407.12338) and MGCN (arXiv 2308.03588).

    Args:
        anchors: (own rows, D) rows `grid.rows(n)` of one side, of unit length.
        others: (n, D) all rows of the other side, of unit length, equal on all ranks of the column group.
        counts: (n,) how often each entity stands in the batch.
        temperature: t > 0.
        grid: The grid of ranks.

    Returns:
        A scalar; the loss is its sum over the column group (`sum_columns`). Differentiable once.
    """
    result: torch.Tensor = _InBatchInfoNce.apply(anchors, others, counts, temperature, grid.rows(len(others)).start)
    return result


class _InBatchInfoNce(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: torch.Tensor, others: torch.Tensor, counts: torch.Tensor, temperature: float, start: int
    ) -> torch.Tensor:
        scaled = anchors / temperature
        # Cosines lie between -1 and 1, so that the largest logit is known to be 1 / t at most and needs no search,
        # unless t is so small that the others would vanish against it.
        bounded = temperature > _LEAST_BOUNDED
        shift = 1 / temperature if bounded else 0.0
        log_counts = counts.log() - shift
        weights = counts[start : start + len(anchors)] / counts.sum()
        partners = others[start : start + len(anchors)]
        anchor_gradient = torch.empty_like(anchors)
        other_gradient = torch.zeros_like(others)
        loss = -(weights * (scaled * partners).sum(1)).sum(dtype=torch.float64)
        for first in range(0, len(anchors), _ROWS_AT_ONCE):
            rows = slice(first, first + _ROWS_AT_ONCE)
            powers = torch.addmm(log_counts, scaled[rows], others.T)
            largest = shift if bounded else powers.amax(1, keepdim=True)
            sums = (powers if bounded else powers.sub_(largest)).exp_().sum(1, keepdim=True)
            loss += (weights[rows] * (sums.log() + largest)[:, 0]).sum(dtype=torch.float64)
            shares = weights[rows, None] / sums  # applied to the thin side of each product
            torch.mm(powers, others, out=anchor_gradient[rows]).mul_(shares)
            other_gradient.addmm_(powers.T, scaled[rows] * shares)
        anchor_gradient.addcmul_(partners, weights[:, None], value=-1).div_(temperature)
        other_gradient[start : start + len(anchors)].addcmul_(scaled, weights[:, None], value=-1)
        ctx.save_for_backward(anchor_gradient, other_gradient)
        return loss.to(anchors.dtype)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None, None]:
        anchors, others = ctx.saved_tensors
        return gradient * anchors, gradient * others, None, None, None
