"""Cells of nearby points on both sides of a problem, and the order that makes each cell consecutive."""

from __future__ import annotations

from dataclasses import dataclass

import torch

_ROUNDS = 8  # Lloyd rounds; cells only choose which blocks are kept, so more buys nothing
_SAMPLE_PER_CELL = 50
_ASSIGN_ROWS = 8192
_LARGEST_CELL = 4  # times the mean size; larger cells are cut


@dataclass(frozen=True, eq=False)
class Cells:
    """One side's points by cell.

    Attributes:
        order: (n,) int64, points sorted by cell: position to point.
        edges: (P + 1,) int64; cell p holds the positions edges[p] .. edges[p + 1] - 1. No cell is empty.
        of_position: (n,) int64, cell of each position.
    """

    order: torch.Tensor
    edges: torch.Tensor
    of_position: torch.Tensor

    @property
    def count(self) -> int:
        """Number of cells P."""
        return len(self.edges) - 1


def default_count(n: int, m: int) -> int:
    """Return how many cells to make: 200 points a cell, between 64 and 1024, 4096 from a million points on."""
    size = max(n, m)
    return int(min(4096 if size >= 1_000_000 else 1024, max(64, size // 200)))


def joint_cells(
    source: torch.Tensor, target: torch.Tensor, count: int, generator: torch.Generator
) -> tuple[Cells, Cells]:
    """Cluster the union of both sides by k-means and sort each side by cluster; large cells are cut.

    The two sides have the same centres, so a cell of one side has a natural counterpart, but nothing depends on that:
    cells that are empty on one side are dropped there, and nothing is balanced. Mass is never divided between cells
    beforehand, as that alone costs a tenth of the optimum.

    Args:
        source: (n, k) coordinates whose inner products are the cost.
        target: (m, k).
        count: Clusters wanted, capped at the number of points.
        generator: Draws the sample and the first centres.
    """
    union = torch.cat([_drawn(source, count, generator), _drawn(target, count, generator)]).float()
    centres = _centres(union, min(count, len(union)), generator)
    return _sorted(source.float(), centres), _sorted(target.float(), centres)


def _drawn(points: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    wanted = max(1, _SAMPLE_PER_CELL * count // 2)
    if len(points) <= wanted:
        return points
    chosen = torch.randperm(len(points), generator=generator, device=generator.device)[:wanted]
    return points[chosen.to(points.device)]


def _centres(points: torch.Tensor, count: int, generator: torch.Generator) -> torch.Tensor:
    chosen = torch.randperm(len(points), generator=generator, device=generator.device)[:count]
    centres = points[chosen.to(points.device)]
    for _ in range(_ROUNDS):
        nearest, distances = _nearest(points, centres)
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        sizes = torch.bincount(nearest, minlength=count)
        centres = sums / sizes.clamp_min(1)[:, None]
        empty = torch.nonzero(sizes == 0)[:, 0]
        if len(empty):  # start again where points are served worst
            centres[empty] = points[torch.topk(distances, len(empty)).indices]
    return centres


def _nearest(points: torch.Tensor, centres: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the nearest centre of each point and the squared distance less the point's own square."""
    squares = centres.square().sum(dim=1)
    nearest = torch.empty(len(points), dtype=torch.int64, device=points.device)
    distances = points.new_empty(len(points))
    for start in range(0, len(points), _ASSIGN_ROWS):
        block = points[start : start + _ASSIGN_ROWS]
        scores = torch.addmm(squares, block, centres.T, alpha=-2.0)
        distances[start : start + _ASSIGN_ROWS], nearest[start : start + _ASSIGN_ROWS] = scores.min(dim=1)
    return nearest, distances + points.square().sum(dim=1)


def _sorted(points: torch.Tensor, centres: torch.Tensor) -> Cells:
    nearest, _ = _nearest(points, centres)
    order = torch.argsort(nearest, stable=True)
    limit = max(1, _LARGEST_CELL * len(points) // len(centres))
    edges, parts = [0], []
    for size in torch.bincount(nearest, minlength=len(centres)).tolist():
        if not size:
            continue
        members = order[edges[-1] : edges[-1] + size]
        pieces = -(-size // limit)
        if pieces > 1:
            members = members[_along_widest(points[members])]
        parts.append(members)
        first = edges[-1]
        edges.extend(first + size * piece // pieces for piece in range(1, pieces + 1))
    ends = torch.tensor(edges, device=points.device)
    of_position = torch.repeat_interleave(torch.arange(len(edges) - 1, device=points.device), ends.diff())
    return Cells(torch.cat(parts), ends, of_position)


def _along_widest(points: torch.Tensor) -> torch.Tensor:
    """Return the order of the points along the direction in which they spread most."""
    centred = points - points.mean(dim=0)
    _, vectors = torch.linalg.eigh(centred.T @ centred)
    return torch.argsort(centred @ vectors[:, -1], stable=True)
