"""What items are about, in one space for two domains: the features that both have, drawn together into few columns."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from raymm.contracts import Feature

_SPARE, _ROUNDS = 8, 4  # columns beyond those wanted, and products with the matrix: subspace iteration
_SEED = 0


def describe(
    source: Mapping[str, Feature], target: Mapping[str, Feature], width: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Describe the items of two domains by all modalities that both have with the same columns.

    Each modality counts alike: its vectors are scaled to unit length, an item without it has zeros. The leading
    directions of all items together are found by subspace iteration (Halko, Martinsson, Tropp, arXiv 0909.4061), with
    fixed start values; nothing is taken off the mean.

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
    sides = [np.hstack([_unit(side[name]) for name in names]) / np.sqrt(len(names)) for side in (source, target)]
    columns = sides[0].shape[1]
    if columns > width:
        start = np.random.default_rng(_SEED).normal(size=(columns, min(columns, width + _SPARE)))
        basis = np.linalg.qr(start)[0]
        for _ in range(_ROUNDS):
            basis = np.linalg.qr(sum((side.T @ (side @ basis) for side in sides), np.zeros_like(basis)))[0]
        projected = [side @ basis for side in sides]
        _, directions = np.linalg.eigh(sum((part.T @ part for part in projected), np.zeros((basis.shape[1],) * 2)))
        sides = [part @ directions[:, ::-1][:, :width] for part in projected]
    return sides[0], sides[1]


def _unit(feature: Feature) -> np.ndarray:
    values = feature.values.astype(np.float64)
    lengths = np.linalg.norm(values, axis=1, keepdims=True)
    return np.where(feature.present[:, None], values / np.maximum(lengths, 1e-12), 0.0)
