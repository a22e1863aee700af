"""What items are about, in one space for two domains: the features that both have, drawn together into few columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from raymm.contracts import Feature

_SPARE, _ROUNDS = 8, 4  # columns beyond those wanted, and products with the matrix: subspace iteration
_SEED = 0


def describe(
    source: Mapping[str, Feature], target: Mapping[str, Feature], width: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Describe the items of two domains by all modalities that both have with the same columns.

    A modality of one name is taken to be of one encoder in both domains, as a recipe makes it. Each counts alike: its
    vectors are scaled to unit length, an item without it has zeros. The leading directions of all items together are
    found by subspace iteration (Halko, Martinsson, Tropp, arXiv 0909.4061), with fixed start values; nothing is taken
    off the mean.

    Args:
        source: Modality to the source items' features.
        target: The same of the target's.
        width: Columns, at most.

    Returns:
        (source items, F) and (target items, F) float64, F at most `width`; None where no modality is common to both,
        or `width` is 0.
    """
    names = sorted(
        name for name in source.keys() & target.keys() if source[name].values.shape[1] == target[name].values.shape[1]
    )
    if not names or not width:
        return None
    sides = [_Side([side[name] for name in names]) for side in (source, target)]
    columns = sides[0].columns
    if columns <= width:
        return sides[0] @ np.eye(columns), sides[1] @ np.eye(columns)
    start = np.random.default_rng(_SEED).normal(size=(columns, min(columns, width + _SPARE)))
    basis = np.linalg.qr(start)[0]
    for _ in range(_ROUNDS):
        basis = np.linalg.qr(sides[0].back(sides[0] @ basis) + sides[1].back(sides[1] @ basis))[0]
    first, second = (side @ basis for side in sides)
    directions = np.linalg.eigh(first.T @ first + second.T @ second)[1][:, ::-1][:, :width]
    return first @ directions, second @ directions


class _Side:
    """The items of a domain, modalities side by side and scaled; their features, which may be large, are not copied.

    Args:
        features: One for each modality.
    """

    def __init__(self, features: Sequence[Feature]) -> None:
        self._parts = []
        for feature in features:
            lengths = np.sqrt(np.einsum("nd,nd->n", feature.values, feature.values, dtype=np.float64))
            scale = np.where(feature.present, 1 / np.maximum(lengths, 1e-12), 0.0) / np.sqrt(len(features))
            self._parts.append((feature.values, scale[:, None]))
        self._ends = np.cumsum([values.shape[1] for values, _ in self._parts])

    @property
    def columns(self) -> int:
        return int(self._ends[-1])

    def __matmul__(self, basis: np.ndarray) -> np.ndarray:
        blocks = np.split(basis.astype(np.float32), self._ends[:-1])
        parts = [scale * (values @ block) for (values, scale), block in zip(self._parts, blocks, strict=True)]
        return np.asarray(sum(parts[1:], parts[0]))

    def back(self, rows: np.ndarray) -> np.ndarray:
        """Return the transposed matrix times `rows`."""
        return np.vstack([values.T @ (scale * rows).astype(np.float32) for values, scale in self._parts])
