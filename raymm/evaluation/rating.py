"""Errors of predicted ratings: MAE and RMSE, as predicted and clipped to the scale."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from raymm.contracts import Scorer
from raymm.errors import ArtefactError, DataError, TrainingError

_COUNT = "count"
_DAMAGED_ZIP = (zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True, eq=False)
class RatingValues:
    """Predicted against true ratings.

    Attributes:
        users: (N,) int64, the user of each rating.
        truth: (N,) float64.
        predicted: (N,) float64, as the model gave it.
        clipped: (N,) float64, moved into the scale of the ratings.
    """

    users: np.ndarray
    truth: np.ndarray
    predicted: np.ndarray
    clipped: np.ndarray

    def sums(self) -> dict[str, float]:
        """Return the number of ratings and the sums of their errors: what ranks add up."""
        raw, clipped = self.predicted - self.truth, self.clipped - self.truth
        return {
            _COUNT: float(len(self.truth)),
            "absolute": float(np.abs(raw).sum()),
            "squared": float((raw**2).sum()),
            "absolute_clipped": float(np.abs(clipped).sum()),
            "squared_clipped": float((clipped**2).sum()),
        }

    def errors(self) -> dict[str, float]:
        """Return `mae`, `rmse`, `mae_clipped` and `rmse_clipped` over all ratings."""
        return errors_from_sums([self.sums()])

    def per_user(self) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Return the users (ascending) and their mean errors `mae`, `mse`, `mae_clipped`, `mse_clipped`.

        Paired tests between two models take these. Their mean over users weighs users alike, whereas `errors` weighs
        ratings alike.
        """
        users, rows = np.unique(self.users, return_inverse=True)
        counts = np.bincount(rows)
        raw, clipped = self.predicted - self.truth, self.clipped - self.truth
        errors = {
            "mae": np.abs(raw),
            "mse": raw**2,
            "mae_clipped": np.abs(clipped),
            "mse_clipped": clipped**2,
        }
        return users, {key: np.bincount(rows, weights=error) / counts for key, error in errors.items()}


def rate(
    scorer: Scorer,
    users: np.ndarray,
    items: np.ndarray,
    ratings: np.ndarray,
    scale: tuple[float, float],
    block: int = 1 << 16,
) -> RatingValues:
    """Predict held-out ratings.

    Args:
        scorer: A model whose scores are ratings.
        users: (N,) int64 internal users.
        items: (N,) int64 internal items.
        ratings: (N,) the true ratings.
        scale: Lowest and highest rating; the clipped predictions are moved into it.
        block: Pairs scored at a time.

    Raises:
        DataError: The arrays do not fit, or a true rating is not on the scale.
        TrainingError: A prediction is not finite.
    """
    low, high = scale
    if not len(users) == len(items) == len(ratings) or not low < high:
        raise DataError(
            f"{len(users)} users, {len(items)} items, {len(ratings)} ratings, scale {scale}",
            "three equal lengths, and a scale that ascends",
            "rating evaluation",
        )
    truth = np.asarray(ratings, dtype=np.float64)
    off = ~((truth >= low) & (truth <= high))
    if off.any():
        raise DataError(
            f"rating {truth[off][0]:g} of user {users[off][0]}", f"{low:g} to {high:g}", "rating evaluation"
        )
    parts = [
        scorer.pairs(_ids(users[start : start + block]), _ids(items[start : start + block])).double().cpu().numpy()
        for start in range(0, len(users), block)
    ]
    predicted = np.concatenate(parts) if parts else np.zeros(0)
    wrong = ~np.isfinite(predicted)
    if wrong.any():
        raise TrainingError(
            f"{int(wrong.sum())} predictions that are not finite, the first for user {users[wrong][0]}",
            "finite predictions",
            "rating evaluation",
            "look for the epoch where the losses grew; lower the learning rate",
        )
    return RatingValues(np.asarray(users), truth, predicted, predicted.clip(low, high))


def write_predictions(values: RatingValues, items: np.ndarray, path: Path) -> None:
    """Store predicted beside true ratings as plain arrays (`.npz`); `items` is the item of each rating."""
    np.savez_compressed(
        path,
        users=values.users,
        items=items,
        truth=values.truth,
        predicted=values.predicted,
        clipped=values.clipped,
    )


def read_predictions(path: Path) -> tuple[RatingValues, np.ndarray]:
    """Read what `write_predictions` stored: values, and the item of each rating.

    Raises:
        ArtefactError: The file is missing, damaged, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            users, items = (stored[name].astype(np.int64, casting="safe") for name in ("users", "items"))
            rest = [stored[name].astype(np.float64, casting="safe") for name in ("truth", "predicted", "clipped")]
        if {array.shape for array in (users, items, *rest)} != {(len(users),)}:
            raise ValueError("arrays of different lengths")
        return RatingValues(users, *rest), items
    except (OSError, ValueError, LookupError, TypeError, EOFError, RuntimeError, *_DAMAGED_ZIP) as error:
        raise ArtefactError(
            f"unreadable: {error}", "predicted ratings of an evaluation", str(path), "evaluate the run again"
        ) from error


def errors_from_sums(parts: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Turn the sums of all ranks (or one that was reduced already) into MAE and RMSE over all ratings.

    Raises:
        DataError: No rating was evaluated.
    """
    total = {key: sum(part[key] for part in parts) for key in (parts[0] if parts else {_COUNT: 0.0})}
    count = total[_COUNT]
    if not count > 0:
        raise DataError("no ratings", "at least one rating", "rating evaluation", "check the holdout")
    return {
        "mae": total["absolute"] / count,
        "rmse": float(np.sqrt(total["squared"] / count)),
        "mae_clipped": total["absolute_clipped"] / count,
        "rmse_clipped": float(np.sqrt(total["squared_clipped"] / count)),
    }


def _ids(values: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.array(values, dtype=np.int64))
