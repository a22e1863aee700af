"""Costs that are inner products, C[i, j] = u_i + v_j - <x_i, y_j>: computed on the fly, never stored."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from raymm.errors import SolverError
from raymm.transport.cost import relation_weights, unit_rows


@dataclass(frozen=True, eq=False)
class Bilinear:
    """A cost between n source and m target points that takes O((n + m) k) memory.

    Attributes:
        source: (n, k) float32 or float64; its type is that of the blocks that solvers compute.
        target: (m, k), of the same type.
        source_offset: (n,) float64, u.
        target_offset: (m,) float64, v.
        bonus_rows: (q,) int64 ascending, and
        bonus_columns: (q,) int64: single pairs whose cost is lower by `bonus` (the known pairs of a soft mask).
        bonus: How much lower.
    """

    source: torch.Tensor
    target: torch.Tensor
    source_offset: torch.Tensor
    target_offset: torch.Tensor
    bonus_rows: torch.Tensor
    bonus_columns: torch.Tensor
    bonus: float = 0.0

    @property
    def n(self) -> int:
        """Number of source points."""
        return len(self.source)

    @property
    def m(self) -> int:
        """Number of target points."""
        return len(self.target)

    def take(self, rows: torch.Tensor, columns: torch.Tensor) -> Bilinear:
        """Return the cost between some of the rows and some of the columns, in the order given (each at most once)."""
        at_row, at_column = _positions(rows, self.n), _positions(columns, self.m)
        bonus_rows, bonus_columns = at_row[self.bonus_rows], at_column[self.bonus_columns]
        present = (bonus_rows >= 0) & (bonus_columns >= 0)
        order = torch.argsort(bonus_rows[present])
        return Bilinear(
            self.source[rows],
            self.target[columns],
            self.source_offset[rows],
            self.target_offset[columns],
            bonus_rows[present][order],
            bonus_columns[present][order],
            self.bonus,
        )

    def transposed(self) -> Bilinear:
        """Exchange source and target."""
        order = torch.argsort(self.bonus_columns)
        return Bilinear(
            self.target,
            self.source,
            self.target_offset,
            self.source_offset,
            self.bonus_columns[order],
            self.bonus_rows[order],
            self.bonus,
        )

    def dense(self) -> torch.Tensor:
        """Return all of it, (n, m) float64: for small problems and as the truth in tests."""
        cost = self.source_offset[:, None] + self.target_offset - self.source.double() @ self.target.double().T
        cost[self.bonus_rows, self.bonus_columns] -= self.bonus
        return cost

    def mean(self, a: torch.Tensor, b: torch.Tensor) -> float:
        """Return sum of a_i b_j C[i, j] in O((n + m) k); a and b sum to 1."""
        centre = (a @ self.source.double()) @ (b @ self.target.double())
        bonus = self.bonus * (a[self.bonus_rows] * b[self.bonus_columns]).sum()
        return float(a @ self.source_offset + b @ self.target_offset - centre - bonus)


def cosine(source: torch.Tensor, target: torch.Tensor) -> Bilinear:
    """Return 1 - cos, in [0, 2].

    Raises:
        SolverError: A zero vector, NaN or infinity, an empty side, or unequal dimensions.
    """
    _check_sides(source, target)
    _check_directions(source, target)
    return _plain(unit_rows(source), unit_rows(target), 1.0)


def squared_euclidean(source: torch.Tensor, target: torch.Tensor) -> Bilinear:
    """Return |x - y|^2; both sides are moved to their common mean first, which changes nothing but the rounding.

    Raises:
        SolverError: NaN or infinity, an empty side, or unequal dimensions.
    """
    _check_sides(source, target)
    centre = torch.cat([source.mean(dim=0, keepdim=True), target.mean(dim=0, keepdim=True)]).mean(dim=0)
    x, y = source - centre, target - centre
    u, v = (points.double().square().sum(dim=1) for points in (x, y))
    root = math.sqrt(2.0)
    return replace(_plain(x * root, y * root, 0.0), source_offset=u, target_offset=v)


def profile(source: torch.Tensor, target: torch.Tensor, pairs: torch.Tensor) -> Bilinear:
    """Return 1 - <s_i, s'_j> with s the unit, centred cosines to the known users of the own side, in [0, 2].

    Where there are more pairs than dimensions it is brought to min(d, d') coordinates without loss: the inner product
    over the pairs is (x_i - mean) A^T B (y_j - mean), and the singular vectors of A^T B carry it.

    Args:
        source: (n, d) embeddings.
        target: (m, d') embeddings of a space that need not be aligned with the first.
        pairs: (q, 2) int64 rows of source and target that are the same user; at least 2.

    Raises:
        SolverError: As `cosine`, or fewer than two pairs.
    """
    _check_sides(source, target, aligned=False)
    _check_directions(source, target)
    _need_pairs(pairs)
    x, y = unit_rows(source), unit_rows(target)
    anchors_x, anchors_y = x[pairs[:, 0]], y[pairs[:, 1]]
    bases = profile_bases(anchors_x, anchors_y)
    s = profile_coordinates(x, x.double().mean(dim=0), anchors_x, bases[0])
    t = profile_coordinates(y, y.double().mean(dim=0), anchors_y, bases[1])
    return _plain(s, t, 1.0)


def profile_bases(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the bases (d, k) and (d', k) float64 in which inner products of anchor profiles are taken.

    Args:
        source: (q, d) unit rows of the known users of one side.
        target: (q, d') of their counterparts.
    """
    anchors_s, anchors_t = source.double(), target.double()
    if len(source) <= min(source.shape[1], target.shape[1]):
        return anchors_s.T, anchors_t.T
    left, values, right = torch.linalg.svd(anchors_s.T @ anchors_t, full_matrices=False)
    return left * values.sqrt(), right.T * values.sqrt()


def profile_coordinates(
    unit: torch.Tensor, mean: torch.Tensor, anchors: torch.Tensor, basis: torch.Tensor
) -> torch.Tensor:
    """Return points in `basis`, (n, k), each over the length of his centred anchor profile; flat profiles give zero.

    Args:
        unit: (n, d) unit rows.
        mean: (d,) mean unit row of the side.
        anchors: (q, d) unit rows of the known users of the side.
        basis: (d, k) of `profile_bases`.
    """
    centred, known = unit.double() - mean.double(), anchors.double()
    lengths = ((centred @ (known.T @ known)) * centred).sum(dim=1).clamp_min(0.0).sqrt()[:, None]
    noise = torch.finfo(unit.dtype).eps * 8 * math.sqrt(len(known))
    placed = (centred @ basis.double()) / lengths.clamp_min(noise)
    return torch.where(lengths > noise, placed, torch.zeros_like(placed)).to(unit.dtype)


def hellinger_relation(
    source: torch.Tensor, target: torch.Tensor, pairs: torch.Tensor, temperature: float = 0.1
) -> Bilinear:
    """Return 1 - <sqrt r_i, sqrt r'_j>, in [0, 1], with r the closeness to the known users of the own side.

    Args:
        source: (n, d) embeddings.
        target: (m, d') embeddings of a space that need not be aligned with the first.
        pairs: (q, 2) int64, at least 2; cap them at a few hundred, each is a coordinate.
        temperature: Of the softmax, in units of 1 - cos.

    Raises:
        SolverError: As `profile`.
    """
    _check_sides(source, target, aligned=False)
    _check_directions(source, target)
    _need_pairs(pairs)
    r = relation_weights(source, source[pairs[:, 0]], temperature)
    q = relation_weights(target, target[pairs[:, 1]], temperature)
    return _plain(r.sqrt(), q.sqrt(), 1.0)


def procrustes(source: torch.Tensor, target: torch.Tensor, pairs: torch.Tensor) -> Bilinear:
    """Return 1 - cos after turning the target space onto the source space by the known pairs.

    Source: Schönemann, "A generalized solution of the orthogonal Procrustes problem", Psychometrika 31 (1966). Strong
    with more pairs than dimensions, weak with few.
    """
    _check_sides(source, target, aligned=False)
    _check_directions(source, target)
    _need_pairs(pairs)
    x, y = unit_rows(source), unit_rows(target)
    left, _, right = torch.linalg.svd(x[pairs[:, 0]].double().T @ y[pairs[:, 1]].double(), full_matrices=False)
    return cosine(x, (y.double() @ (left @ right).T).to(y.dtype))


def blend(parts: Sequence[tuple[float, Bilinear]]) -> Bilinear:
    """Return the weighted sum of costs between the same points; weights at least 0, bonuses are not allowed."""
    kept = [(weight, part) for weight, part in parts if weight > 0]
    if not kept or any(weight < 0 for weight, _ in parts) or any(part.bonus for _, part in parts):
        raise SolverError(f"weights {[weight for weight, _ in parts]}", "some above 0, none below", "blend of costs")
    return replace(
        kept[0][1],
        source=torch.cat([part.source * math.sqrt(weight) for weight, part in kept], dim=1),
        target=torch.cat([part.target * math.sqrt(weight) for weight, part in kept], dim=1),
        source_offset=torch.stack([weight * part.source_offset for weight, part in kept]).sum(dim=0),
        target_offset=torch.stack([weight * part.target_offset for weight, part in kept]).sum(dim=0),
    )


def with_soft_mask(cost: Bilinear, pairs: torch.Tensor, weight: float) -> Bilinear:
    """Add `weight` to every cost that takes a known user to anybody but his counterpart.

    With u, v the indicators of known users the penalty is weight (u_i + v_j - u_i v_j - [j is i's counterpart]): two
    offsets, one more coordinate and one single entry a pair.

    Source: SIEOUG (arXiv 2502.16068), mask of the matching module; form of KPG-RL (NeurIPS 2022).
    """
    if cost.bonus:
        raise SolverError("a cost that is masked already", "a cost without a mask", "soft mask")
    known_rows, known_columns = torch.zeros_like(cost.source_offset), torch.zeros_like(cost.target_offset)
    known_rows[pairs[:, 0]], known_columns[pairs[:, 1]] = 1.0, 1.0
    root = math.sqrt(weight)
    order = torch.argsort(pairs[:, 0])
    return Bilinear(
        torch.cat([cost.source, (root * known_rows[:, None]).to(cost.source.dtype)], dim=1),
        torch.cat([cost.target, (root * known_columns[:, None]).to(cost.target.dtype)], dim=1),
        cost.source_offset + weight * known_rows,
        cost.target_offset + weight * known_columns,
        pairs[order, 0],
        pairs[order, 1],
        weight,
    )


def _plain(source: torch.Tensor, target: torch.Tensor, constant: float) -> Bilinear:
    none = torch.zeros(0, dtype=torch.int64, device=source.device)
    return Bilinear(
        source,
        target,
        torch.full((len(source),), constant, dtype=torch.float64, device=source.device),
        torch.zeros(len(target), dtype=torch.float64, device=source.device),
        none,
        none,
    )


def _positions(chosen: torch.Tensor, size: int) -> torch.Tensor:
    where = torch.full((size,), -1, dtype=torch.int64, device=chosen.device)
    where[chosen] = torch.arange(len(chosen), device=chosen.device)
    return where


def _need_pairs(pairs: torch.Tensor) -> None:
    if pairs.ndim != 2 or pairs.shape[1] != 2 or len(pairs) < 2:
        raise SolverError(
            f"known pairs of shape {tuple(pairs.shape)}",
            "(at least 2, 2)",
            "relation to known pairs",
            "give known pairs, or match by distance alone (omega 1)",
        )


def _check_directions(source: torch.Tensor, target: torch.Tensor) -> None:
    for points, side in ((source, "source"), (target, "target")):
        zero = (points == 0).all(dim=1)
        if bool(zero.any()):
            raise SolverError(
                f"{int(zero.sum())} zero vectors, the first at row {int(zero.nonzero()[0])}",
                "vectors with a direction",
                f"{side} embeddings",
                "leave these users out: nothing is known of them",
            )


def _check_sides(source: torch.Tensor, target: torch.Tensor, aligned: bool = True) -> None:
    for points, side in ((source, "source"), (target, "target")):
        if points.ndim != 2 or not points.numel():
            raise SolverError(
                f"shape {tuple(points.shape)}", "(users, columns), not empty", f"{side} embeddings", "check the file"
            )
        finite = torch.isfinite(points).all(dim=1)
        if not bool(finite.all()):
            raise SolverError(
                f"NaN or infinity in {int((~finite).sum())} rows, the first {int((~finite).nonzero()[0])}",
                "finite numbers",
                f"{side} embeddings",
                "leave these users out or mend the model that made them",
            )
    if source.dtype != target.dtype or source.dtype not in (torch.float32, torch.float64):
        raise SolverError(f"{source.dtype} and {target.dtype}", "float32 or float64 on both sides", "embeddings")
    if aligned and source.shape[1] != target.shape[1]:
        raise SolverError(
            f"{source.shape[1]} and {target.shape[1]} columns",
            "equal numbers of columns",
            "distance between the sides",
            "use a relation to known pairs (omega 0), or Procrustes alignment",
        )
