"""Nearest items by other similarities than the cosine: inner products, distances, shares of what is common."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from scipy import sparse

from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew, Shared, pieces_for

Similarity = Literal["dot", "euclidean", "tanimoto"]

_BLOCK_ROWS = 256
_LEAST_ROWS = 4_096  # rows of a piece of work: fewer would cost more to hand out than to search
_ALIKE = 5e-10  # of the k-th similarity: those that differ from it by less are as near as it


def similar_neighbours(
    values: np.ndarray,
    k: int,
    similarity: Similarity,
    present: np.ndarray | None = None,
    crew: Crew = ALONE,
) -> sparse.csr_array:
    """Find each item's k nearest, itself among them, exactly and without an I x I matrix.

    With x and y the features of two items:

    - `dot`: x . y, which prefers long vectors.
    - `euclidean`: the least |x - y|; entries are exp(-|x - y|^2 / s), with s the median over items of the squared
      distance to their k-th nearest.
    - `tanimoto`: x . y / (|x|^2 + |y|^2 - x . y), the Jaccard index of vectors of zeros and ones (T. Tanimoto, IBM
      report, 1958), and its extension to any others.

    Of the items that are as near as the k-th, by nine digits, those with the lower numbers are taken.

    Args:
        values: (I, F) features; may be read-only. Rows of absent items are not looked at.
        k: Most neighbours of an item, itself among them, at least 1.
        similarity: Which one.
        present: (I,) bool, False for items without these features; None where all have them.
        crew: Who works; each takes runs of rows.

    Returns:
        (I, I) float32, positive entries, directed, indices sorted. Fewer than k in a row where fewer items have a
        positive similarity. Items that are absent or have an all-zero row have no entry in their row or column.

    Raises:
        DataError: Shapes do not fit, a present value is not finite, or k is below 1.
    """
    if values.ndim != 2 or k < 1 or (present is not None and present.shape != (len(values),)):
        raise DataError(f"features of shape {values.shape}, k = {k}", "(items, columns), k of 1 or more", "neighbours")
    kept = np.ones(len(values), bool) if present is None else present
    points = np.where(kept[:, None], values, 0).astype(np.float64)
    if not np.isfinite(points).all():
        raise DataError("feature values that are not finite", "finite values of every present item", "neighbours")
    items = np.flatnonzero(points.any(axis=1))
    shared = {"points": points[items], "k": k, "similarity": similarity}
    found = crew.map(_search, shared, pieces_for(crew, len(items), _LEAST_ROWS))
    rows, columns, entries = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if similarity == "euclidean":
        entries = _kernel(rows, entries, len(items))
    kept_entries = entries > 0
    rows, columns, entries = items[rows[kept_entries]], items[columns[kept_entries]], entries[kept_entries]
    return sparse.csr_array((entries.astype(np.float32), (rows, columns)), shape=(len(values), len(values)))


def _search(shared: Shared, run: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Search for a run of rows, block by block: rows, columns and similarities."""
    points, k, similarity = shared["points"], shared["k"], shared["similarity"]
    squares = np.einsum("if,if->i", points, points)
    # What is left of a distance between near points is the rounding of three numbers about as large as their squares.
    rounding = 4 * points.shape[1] * np.finfo(np.float64).eps if similarity == "euclidean" else 0.0
    blur = rounding * squares
    found: list[tuple[np.ndarray, np.ndarray, np.ndarray]] = [
        (np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    ]
    for start in range(run.start, run.stop, _BLOCK_ROWS):
        rows = np.arange(start, min(start + _BLOCK_ROWS, run.stop))
        near = _similarities(points[rows] @ points.T, squares[rows], squares, similarity)
        columns, entries = _first(near, rows, k, blur[rows])
        found.append((np.repeat(rows, columns.shape[1]), columns.ravel(), entries.ravel()))
    rows, columns, entries = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, columns, entries


def _similarities(products: np.ndarray, own: np.ndarray, others: np.ndarray, similarity: Similarity) -> np.ndarray:
    """Turn inner products and squared lengths into similarities: (B, I); of distances, minus their squares."""
    if similarity == "dot":
        return products
    together = own[:, None] + others[None, :]
    if similarity == "tanimoto":
        return np.asarray(products / (together - products))
    return np.asarray(np.minimum(2 * products - together, 0.0))


def _first(near: np.ndarray, rows: np.ndarray, k: int, blur: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the k nearest of each row by number, (B, at most k), the item itself among them, with their similarities.

    All that are nearer than the k-th are taken, and of those as near as it the lowest numbers. Changes `near`.

    Args:
        near: (B, I) similarities.
        rows: (B,) the items of the rows.
        k: Items of a row.
        blur: (B,) differences up to this are rounding.
    """
    place = (np.arange(len(rows)), rows)
    own = near[place]
    near[place] = np.inf
    count = min(k, near.shape[1])
    kth = np.partition(near, near.shape[1] - count, axis=1)[:, -count]
    margin = np.where(np.isfinite(kth), np.maximum(np.abs(kth) * _ALIKE, blur), 0.0)
    nearer, taken = near > (kth + margin)[:, None], near >= (kth - margin)[:, None]
    taken &= ~nearer
    taken &= np.cumsum(taken, axis=1, dtype=np.int32) <= (count - nearer.sum(axis=1))[:, None]
    taken |= nearer
    near[place] = own
    columns = np.nonzero(taken)[1].reshape(len(rows), count)
    return columns, np.take_along_axis(near, columns, axis=1)


def _kernel(rows: np.ndarray, entries: np.ndarray, n_items: int) -> np.ndarray:
    """Turn minus squared distances into exp(-distance^2 / s)."""
    farthest = np.zeros(n_items)
    np.maximum.at(farthest, rows, -entries)
    spread = float(np.median(farthest)) if n_items else 0.0
    return np.asarray(np.exp(entries / (spread or 1.0)))
