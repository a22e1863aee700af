"""What stands in the file for items that lack a modality, and which vectors can stand in it."""

from __future__ import annotations

from typing import Literal

import numpy as np

Fill = Literal["mean", "zero", "learned"]

CHUNK_ROWS = 65_536  # rows whose mean is taken at a time


def fill_missing(values: np.ndarray, present: np.ndarray, fill: Fill = "mean") -> None:
    """Put a vector into the rows of items that lack a modality, in place.

    `mean`, of the items that are present, is neutral: such an item is as near to one item as to the next, where zeros
    would make all items without the modality each other's nearest neighbours. `zero` says nothing. `learned` is zero
    in the file: a model that trains a row for these items starts it there.

    Args:
        values: (I, F) float32 or float16.
        present: (I,) bool with at least one True.
        fill: The rule.
    """
    if present.all():
        return
    if fill != "mean":
        values[~present] = 0
        return
    total = np.zeros(values.shape[1])
    for start in range(0, len(values), CHUNK_ROWS):  # in one order, whatever was written when
        part = slice(start, start + CHUNK_ROWS)
        total += values[part][present[part]].sum(axis=0, dtype=np.float64)
    values[~present] = (total / present.sum()).astype(values.dtype)


def to_unit_length(values: np.ndarray) -> np.ndarray:
    """Scale rows to unit length: (n, F) to (n, F) float32; a zero row, which has no direction, stays zero."""
    lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
    return np.asarray(values / np.where(lengths > 0, lengths, 1.0), dtype=np.float32)


def not_finite(values: np.ndarray, dtype: str) -> np.ndarray:
    """Tell which vectors hold NaN or infinity, or a number too large for how it will be stored: (n, F) to (n,) bool."""
    with np.errstate(over="ignore"):
        return ~np.asarray(np.isfinite(values.astype(dtype)).all(axis=1))
