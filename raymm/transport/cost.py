"""Dense costs of matching: distance, relation to the known pairs (three forms), the mask, and their blend."""

from __future__ import annotations

import math
from typing import Literal

import torch

Relation = Literal["js", "hellinger", "profile"]
Scale = Literal["fixed", "maximum"]

_JS_BLOCK_BYTES = 1 << 19  # the (rows, m, anchors) buffer of the Jensen-Shannon loop; more leaves the cache


def unit_rows(points: torch.Tensor) -> torch.Tensor:
    """Scale each row to unit length; a zero row stays zero (its cosine with everybody is 0, its distance 1)."""
    norms = torch.linalg.vector_norm(points, dim=1, keepdim=True)
    return torch.where(norms > 0, points / norms.clamp_min(torch.finfo(points.dtype).tiny), torch.zeros_like(points))


def cosine_distance(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return 1 - cos of every pair: (n, d) and (m, d) to (n, m), in [0, 2]."""
    return (1.0 - unit_rows(source) @ unit_rows(target).T).clamp_(0.0, 2.0)


def relation_weights(
    points: torch.Tensor, anchors: torch.Tensor, temperature: float, scale: Scale = "fixed"
) -> torch.Tensor:
    """Describe each point by its closeness to the anchors of its own side: a point of the simplex.

    r_i = softmax over anchors o of (-C_s[i, o] / temperature), C_s = 1 - cos within the side.

    Source: keypoint-guided transport (KPG-RL, Gu et al., NeurIPS 2022), the relation to known pairs; SIEOUG
    (arXiv 2502.16068) states the property, its formula could not be read.

    Args:
        points: (n, d) all users of one side.
        anchors: (k, d) the known users of that side.
        temperature: Greater than 0, in units of the scaled distance; 0.1 separates, 0.03 is far worse.
        scale: `maximum` divides C_s by its maximum, as the source does; `fixed` leaves 1 - cos as it is, so that one
            outlier cannot change everybody's temperature.

    Returns:
        (n, k), rows sum to 1.
    """
    distance = scaled(cosine_distance(points, anchors), scale)
    return torch.softmax(distance.mul_(-1.0 / temperature), dim=1)


def jensen_shannon(r: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return the Jensen-Shannon divergence of every pair of rows, in nats: (n, k) and (m, k) to (n, m).

    JS = H((r + q) / 2) - (H(r) + H(q)) / 2 with H the entropy; in [0, log 2]. It takes n m k logarithms, so it serves
    batches and as the reference of the two bilinear relations, not whole populations.
    """
    entropy_r, entropy_q = _entropy(r), _entropy(q)
    half_r, half_q = 0.5 * r, 0.5 * q
    out = r.new_empty(len(r), len(q))
    rows = max(1, _JS_BLOCK_BYTES // max(1, q.numel() * q.element_size()))
    for start in range(0, len(r), rows):
        mixed = half_r[start : start + rows, None, :] + half_q[None, :, :]
        out[start : start + rows] = _entropy(mixed)
    return out.sub_(0.5 * entropy_r[:, None]).sub_(0.5 * entropy_q[None, :]).clamp_(0.0, math.log(2.0))


def hellinger(r: torch.Tensor, q: torch.Tensor) -> torch.Tensor:
    """Return 1 - <sqrt r_i, sqrt q_j>, the squared Hellinger distance of every pair of rows, in [0, 1].

    An inner product, so it works for whole populations; it correlates above 0.99 with `jensen_shannon`.
    """
    return (1.0 - r.sqrt() @ q.sqrt().T).clamp_(0.0, 1.0)


def anchor_profile(points: torch.Tensor, anchors: torch.Tensor) -> torch.Tensor:
    """Return unit rows s_i = (cosines of i to the anchors, less the side's mean profile): (n, k).

    1 - <s_i, s'_j> is an inner product too, and needs no temperature. A user whose profile equals the mean has no
    direction: his row is zero and his cost to everybody 1.
    """
    cosines = unit_rows(points) @ unit_rows(anchors).T
    centred = cosines - cosines.mean(dim=0, keepdim=True)
    # Rounding leaves 1e-8 where the profile equals the mean; without this it would be blown up to unit length.
    noise = torch.finfo(points.dtype).eps * 8 * math.sqrt(len(anchors))
    flat = torch.linalg.vector_norm(centred, dim=1, keepdim=True) <= noise
    return unit_rows(centred.masked_fill(flat, 0.0))


def relation_cost(
    source: torch.Tensor, target: torch.Tensor, anchors: torch.Tensor, form: Relation, temperature: float, scale: Scale
) -> torch.Tensor:
    """Return the cost of relation of every pair, each side seen from its own anchors only.

    Args:
        source: (n, d) users of the source side.
        target: (m, d') users of the target side; the two spaces need not be aligned nor of one dimension.
        anchors: (k,) positions of the known pairs to use, valid on both sides.
        form: `js` as derived for SIEOUG (divided by log 2), or its bilinear replacements `hellinger` and `profile`.
        temperature: Of the softmax in `js` and `hellinger`.
        scale: Passed to `relation_weights`.

    Returns:
        (n, m): in [0, 1] for `js` and `hellinger`, in [0, 2] for `profile`.
    """
    if form == "profile":
        s, t = anchor_profile(source, source[anchors]), anchor_profile(target, target[anchors])
        return (1.0 - s @ t.T).clamp_(0.0, 2.0)
    r = relation_weights(source, source[anchors], temperature, scale)
    q = relation_weights(target, target[anchors], temperature, scale)
    return hellinger(r, q) if form == "hellinger" else jensen_shannon(r, q).div_(math.log(2.0))


def scaled(cost: torch.Tensor, scale: Scale) -> torch.Tensor:
    """Divide by the maximum (`maximum`: data dependent, so epsilon is too), or leave the natural unit (`fixed`)."""
    if scale == "fixed":
        return cost
    top = float(cost.max()) if cost.numel() else 0.0
    return cost / top if top > 0 else cost


def add_mask(cost: torch.Tensor, n_shared: int, weight: float) -> torch.Tensor:
    """Add weight * (1 - M) in place: known users may go to their own counterpart only.

    M is 1 except in the rows and columns of the first `n_shared` users, where only the diagonal is 1. A soft mask: the
    larger epsilon, the more mass leaks through it; keep weight / epsilon at 100 or more.

    Source: SIEOUG (arXiv 2502.16068), the mask of its matching module; form of KPG-RL (NeurIPS 2022).
    """
    cost[:n_shared, :] += weight
    cost[n_shared:, :n_shared] += weight
    cost.diagonal()[:n_shared] -= weight
    return cost


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    # Five times faster than torch.special.entr, and 0 log 0 = 0 all the same.
    logs = weights.clamp_min(torch.finfo(weights.dtype).tiny).log_()
    return logs.mul_(weights).sum(dim=-1).neg_()
