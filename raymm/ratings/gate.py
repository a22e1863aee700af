"""Whether a part of a model helps users that it has not seen, and how much of it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Gain:
    """What a part gains on held-out users.

    Attributes:
        share: How much of the part serves best, in [0, 1]: least squares over the ratings.
        mean: Mean decrease of a user's mean squared error by that share.
        error: Its standard error over users.
    """

    share: float
    mean: float
    error: float

    def opens(self, errors: float) -> bool:
        """Say whether the gain is more than `errors` standard errors, and more than nothing."""
        return self.share > 0 and self.mean > errors * self.error


def best_share(missed: np.ndarray, part: np.ndarray, users: np.ndarray, most: float = 1.0) -> Gain:
    """Fit how much of a part to add to a prediction, `missed ~ share * part`, and say what it gains.

    Args:
        missed: (n,) truth less prediction without the part.
        part: (n,) what the whole part would add.
        users: (n,) whose ratings these are.
        most: Largest share.
    """
    power = float(part @ part)
    share = min(max(float(part @ missed) / power, 0.0), most) if power > 0 else 0.0
    decrease = missed**2 - (missed - share * part) ** 2
    _, places = np.unique(users, return_inverse=True)
    by_user = np.bincount(places, weights=decrease) / np.bincount(places)
    spread = float(by_user.std(ddof=1) / np.sqrt(len(by_user))) if len(by_user) > 1 else float("inf")
    return Gain(share, float(by_user.mean()), spread)
