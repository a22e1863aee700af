"""Exact cosine neighbours of items, found block by block and row by row, and what is done with their supports."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.graph.crew import ALONE, Crew, Shared, pieces_for

_LEAST_ROWS = 4_096  # rows of a piece of work: fewer would cost more to hand out than to search
_PAIR_VALUES = 1 << 22  # feature values gathered at once where single pairs are read: 64 MiB of float64 for both ends


@dataclass(frozen=True, eq=False)
class Directions:
    """The features of one modality as directions, computed once for all searches and readings.

    Attributes:
        unit: (I, F) float32 rows of length one; zero for absent items and all-zero rows.
        usable: (I,) bool, False for those zero rows.
    """

    unit: np.ndarray
    usable: np.ndarray


def directions(values: np.ndarray, present: np.ndarray | None = None) -> Directions:
    """Scale features to directions.

    Args:
        values: (I, F) features; may be read-only. Rows of absent items are not looked at.
        present: (I,) bool, False for items without these features; None where all have them.

    Raises:
        DataError: Shapes do not fit, or a present value is not finite.
    """
    if values.ndim != 2:
        raise DataError(f"features of shape {values.shape}", "(items, columns)", "features")
    return Directions(*_unit_rows(values, present))


def cosine_neighbours(
    values: np.ndarray,
    k: int,
    block_rows: int = 512,
    include_self: bool = False,
    present: np.ndarray | None = None,
    rows: range | None = None,
    crew: Crew = ALONE,
) -> sparse.csr_array:
    """Find each item's k nearest others by cosine, exactly and without an I x I matrix.

    A block of single-precision similarities finds candidates, with a margin that covers its rounding; candidates are
    read again in double precision, and those readings decide. The result depends on the features alone: neither on
    the block size nor on how rows are shared out. Equal similarities go to the item with the lower number.

    Args:
        values: (I, F) features; may be read-only. Rows of absent items are not looked at.
        k: Most neighbours of an item, at least 1.
        block_rows: Rows of similarities held at a time; memory is about 5 x block_rows x I bytes for each that works.
        include_self: Let the item itself take the first of the k places, with similarity 1.
        present: (I,) bool, False for items without these features; None where all have them.
        rows: Consecutive items to find neighbours of; None for all. Results of consecutive ranges stack to the whole.
        crew: Who works; each takes runs of rows.

    Returns:
        (rows, I) float32, similarities in (0, 1], directed, indices sorted. Fewer than k entries where fewer items are
        similar: similarities that are negative, or not above the rounding of single precision (F / 2^22), are zero.
        Items that are absent or have an all-zero row have no entry in their row or column.

    Raises:
        DataError: Shapes do not fit, a present value is not finite, or k, block_rows or rows are out of range.
    """
    rows = range(len(values)) if rows is None else rows
    _check_search(values, k, block_rows, rows)
    return nearest(directions(values, present), k, block_rows, include_self, rows, crew)


def nearest(
    points: Directions,
    k: int,
    block_rows: int = 512,
    include_self: bool = False,
    rows: range | None = None,
    crew: Crew = ALONE,
) -> sparse.csr_array:
    """Find neighbours as `cosine_neighbours` does, of directions that are there already."""
    rows = range(len(points.unit)) if rows is None else rows
    _check_search(points.unit, k, block_rows, rows)
    wanted = k - 1 if include_self else k
    columns = _first_of_equals(points.unit, points.usable, wanted + 1)
    shared = {"unit": points.unit, "columns": columns, "of": (block_rows, wanted, include_self)}
    runs = [range(rows.start + run.start, rows.start + run.stop) for run in pieces_for(crew, len(rows), _LEAST_ROWS)]
    found = crew.map(_search, shared, runs)
    return sparse.csr_array(sparse.vstack(found, format="csr"))


def read_similarities(
    values: np.ndarray, support: sparse.csr_array, present: np.ndarray | None = None, start: int = 0
) -> sparse.csr_array:
    """Read the exact cosine similarity of every pair that `support` stores.

    Args:
        values: (I, F) features.
        support: (R, I) sparse; only where entries are stored matters. Row r stands for item start + r.
        present: (I,) bool, as in `cosine_neighbours`.
        start: The item of the first row, for a shard of rows.

    Returns:
        (R, I) float32 with the entries of `support` in the same order, so that readings of several modalities on one
        support align. Negative similarities, and those of absent items, are stored zeros. A symmetric support gives a
        matrix that is symmetric to the last bit.

    Raises:
        DataError: Shapes do not fit, or a present value is not finite.
    """
    return read_pairs(directions(values, present), support, start)


def read_pairs(points: Directions, support: sparse.csr_array, start: int = 0, crew: Crew = ALONE) -> sparse.csr_array:
    """Read similarities as `read_similarities` does, of directions that are there; a crew takes runs of rows."""
    n_rows, n_items = support.shape[0], len(points.unit)
    if support.ndim != 2 or support.shape[1] != n_items or not 0 <= start <= n_items - n_rows:
        raise DataError(f"a support of shape {support.shape} from row {start}", f"rows of ({n_items}, same)", "pairs")
    support = sparse.csr_array(support, copy=True)
    support.sum_duplicates()
    runs = pieces_for(crew, n_rows, _LEAST_ROWS)
    starts, columns = support.indptr, support.indices
    pieces = [
        (start + run.start, np.diff(starts[run.start : run.stop + 1]), columns[starts[run.start] : starts[run.stop]])
        for run in runs
    ]
    found = np.concatenate(crew.map(_read, {"unit": points.unit}, pieces))
    return sparse.csr_array((found, columns, starts), shape=support.shape)


def union_support(graphs: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Mark the pairs that any graph links in either direction.

    Args:
        graphs: At least one (I, I).

    Returns:
        (I, I) symmetric float32 ones with an empty diagonal.
    """
    together = reduce(lambda left, right: left + right, [_marks(graph) for graph in graphs])
    return _marks(together + together.T)


def common_support(graphs: Sequence[sparse.csr_array]) -> sparse.csr_array:
    """Mark the pairs that all graphs link, in the direction in which they do.

    Source: GUME (arXiv 2407.12338), semantic neighbours: what is near in every modality.

    Args:
        graphs: At least one (I, I).

    Returns:
        (I, I) float32 ones with an empty diagonal; not symmetric in general.
    """
    return _marks(reduce(lambda left, right: left.multiply(right), [_marks(graph) for graph in graphs]))


def strongest(matrix: sparse.csr_array, k: int) -> sparse.csr_array:
    """Keep the k largest positive entries of each row; equal ones go to the lower column.

    Args:
        matrix: (R, C).
        k: Most entries kept in a row, at least 1.

    Returns:
        (R, C) of the same type, indices sorted.

    Raises:
        DataError: k is below 1.
    """
    if k < 1:
        raise DataError(f"k = {k}", "at least 1", "strongest entries")
    rows, columns, entries = _of_each_row(*_triplets(matrix), k)
    return _csr(rows, columns, entries, matrix.shape)


def _search(shared: Shared, rows: range) -> sparse.csr_array:
    """Find the neighbours of a run of rows."""
    unit, columns = shared["unit"], shared["columns"]
    block_rows, wanted, include_self = shared["of"]
    blocks = [
        _block(unit, columns, np.arange(start, min(start + block_rows, rows.stop)), wanted, include_self)
        for start in range(rows.start, rows.stop, block_rows)
    ]
    empty = sparse.csr_array((0, len(unit)), dtype=np.float32)
    return sparse.csr_array(sparse.vstack(blocks, format="csr")) if blocks else empty


def _read(shared: Shared, piece: Any) -> np.ndarray:
    """Read the pairs of a run of rows: its first item, the entries of each row, and their columns."""
    first, lengths, columns = piece
    left = np.repeat(np.arange(first, first + len(lengths)), lengths)
    similarities: np.ndarray = np.maximum(_pair_similarities(shared["unit"], left, columns), 0)
    return similarities


def _check_search(values: np.ndarray, k: int, block_rows: int, rows: range) -> None:
    if values.ndim != 2:
        raise DataError(f"features of shape {values.shape}", "(items, columns)", "neighbour search")
    if k < 1 or block_rows < 1:
        raise DataError(f"k = {k}, block_rows = {block_rows}", "both at least 1", "neighbour search")
    if rows.step != 1 or rows.start < 0 or rows.stop > len(values):
        raise DataError(f"rows {rows}", f"consecutive rows within 0..{len(values)}", "neighbour search")


def _unit_rows(values: np.ndarray, present: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Scale rows to length one in float32, zero rows and absent ones to zero; also say which rows are not zero."""
    if present is not None and present.shape != (len(values),):
        raise DataError(f"a mask of shape {present.shape}", f"({len(values)},)", "features")
    unit = np.zeros(values.shape, np.float32)
    usable = np.zeros(len(values), bool)
    step = max(1, _PAIR_VALUES // max(1, values.shape[1]))
    for start in range(0, len(values), step):  # in float64, but never all of it
        block = values[start : start + step].astype(np.float64)
        if present is not None:
            block[~present[start : start + step]] = 0
        if not np.isfinite(block).all():
            raise DataError(
                "feature values that are not finite",
                "finite values for every present item",
                f"rows {start} to {start + len(block) - 1}",
                "mark the items as missing, or repair their features",
            )
        # Two steps, so that the squares of very large or very small values stay in range.
        largest = np.abs(block).max(axis=1, initial=0)
        block = np.divide(block, largest[:, None], out=np.zeros_like(block), where=largest[:, None] > 0)
        norms = np.sqrt(np.einsum("rf,rf->r", block, block))
        unit[start : start + step] = np.divide(block, norms[:, None], out=block, where=norms[:, None] > 0)
        usable[start : start + step] = norms > 0
    unit += 0.0  # no negative zeros: equal rows are equal bytes
    return unit, usable


def _first_of_equals(unit: np.ndarray, usable: np.ndarray, count: int) -> np.ndarray:
    """Return the usable items, ascending, and of items with equal rows the first `count` only.

    The later ones can be nobody's neighbour, as `count - 1` or more with lower numbers are just as near. Without this,
    items of one text by the hundred would make as many candidates for every row.
    """
    items = np.flatnonzero(usable)
    if not len(items):
        return items
    keys = np.ascontiguousarray(unit[items]).view(np.dtype((np.void, unit.shape[1] * unit.itemsize))).ravel()
    _, groups = np.unique(keys, return_inverse=True)
    order = np.argsort(groups, kind="stable")
    return np.sort(items[order[_places(groups[order]) < count]])


def _block(
    unit: np.ndarray, columns: np.ndarray, items: np.ndarray, wanted: int, include_self: bool
) -> sparse.csr_array:
    """Find the neighbours of a block of items among the items `columns`."""
    rows, others, similarities = np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
    if wanted and len(columns):
        rows, others = _candidates(unit, columns, items, wanted)
        similarities = _pair_similarities(unit, items[rows], others)
        similarities[similarities <= 2 * _rounding(unit)] = 0
        rows, others, similarities = _of_each_row(rows, others, similarities, wanted)
    if include_self:
        itself = np.flatnonzero(unit[items].any(axis=1))
        rows, others = np.concatenate([rows, itself]), np.concatenate([others, items[itself]])
        similarities = np.concatenate([similarities, np.ones(len(itself), np.float32)])
    return _csr(rows, others, similarities, (len(items), len(unit)))


def _candidates(unit: np.ndarray, columns: np.ndarray, items: np.ndarray, wanted: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (row of the block, item) of all pairs that can be among the `wanted` nearest, whatever the rounding."""
    approximate = unit[items] @ unit[columns].T
    place = np.minimum(np.searchsorted(columns, items), len(columns) - 1)
    own = np.flatnonzero(columns[place] == items)
    approximate[own, place[own]] = -np.inf
    nearest = torch.topk(torch.from_numpy(approximate), min(wanted, len(columns)), dim=1).values[:, -1].numpy()
    rounding = _rounding(unit)
    # The last of the nearest and any rival may each be off by the rounding; what is zero for sure is left out.
    floor = np.maximum(nearest - 2 * rounding, rounding)
    rows, found = np.nonzero(approximate >= floor[:, None])
    return rows, columns[found]


def _rounding(unit: np.ndarray) -> float:
    """Bound the error of a float32 inner product of unit rows, whatever the order of summation."""
    return float(max(unit.shape[1], 1) * 2.0**-23)


def _pair_similarities(unit: np.ndarray, left: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Read single pairs in float64; equal for (i, j) and (j, i), and independent of the other pairs."""
    result = np.empty(len(left), np.float32)
    step = max(1, _PAIR_VALUES // max(1, unit.shape[1]))
    for start in range(0, len(left), step):
        part = slice(start, start + step)
        result[part] = np.einsum("pf,pf->p", unit[left[part]].astype(np.float64), unit[right[part]].astype(np.float64))
    return np.minimum(result, 1)


def _of_each_row(
    rows: np.ndarray, columns: np.ndarray, entries: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Keep the k largest positive entries of each row, equal ones by column."""
    positive = entries > 0
    rows, columns, entries = rows[positive], columns[positive], entries[positive]
    order = np.lexsort((columns, -entries, rows))
    kept = order[_places(rows[order]) < k]
    return rows[kept], columns[kept], entries[kept]


def _places(groups: np.ndarray) -> np.ndarray:
    """Count 0, 1, 2, ... within each run of equal values."""
    starts = np.flatnonzero(np.r_[True, groups[1:] != groups[:-1]]) if len(groups) else np.empty(0, np.int64)
    return np.arange(len(groups)) - np.repeat(starts, np.diff(np.r_[starts, len(groups)]))


def _triplets(matrix: sparse.csr_array) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    matrix = sparse.csr_array(matrix, copy=True)
    matrix.sum_duplicates()
    return np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr)), matrix.indices, matrix.data


def _csr(rows: np.ndarray, columns: np.ndarray, entries: np.ndarray, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((entries, (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix


def _marks(graph: sparse.csr_array) -> sparse.csr_array:
    """Set every entry that is not zero to one, and drop the diagonal."""
    rows, columns, entries = _triplets(graph)
    kept = (entries != 0) & (rows != columns)
    return _csr(rows[kept], columns[kept], np.ones(int(kept.sum()), np.float32), graph.shape)
