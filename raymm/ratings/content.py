"""Taste for what items are about, carried from the source: a ridge regression of each user on items' features."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from raymm.config import check, setting
from raymm.ratings.descriptions import describe
from raymm.ratings.gate import Gain, best_share
from raymm.ratings.styles import FloorPlus
from raymm.ratings.table import ColdStart
from raymm.ratings.transfer import read_vectors


@dataclass(frozen=True)
class ContentConfig:
    """Taste for what items are about; where both domains have a modality in common."""

    width: int = setting(32, "columns that items' features are drawn together into; 0 leaves content out", ge=0)
    ridges: tuple[float, ...] = setting(
        (1.0, 3.0, 10.0, 30.0, 100.0), "candidates of the weight of a user's squared vector", gt=0
    )
    gate: float = setting(1.0, "standard errors by which content must help shared users, or it is left out", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True, eq=False)
class Content:
    """What users like items to be about, by their source ratings.

    Attributes:
        users: (source users, F) ridge regressions of what biases leave on the features of the items rated.
        source_items: (source items, F).
        items: (target items, F), in the same space.
        ridge: The ridge that was chosen.
        gain: The share of `<w_u, x_i>` that is added to a prediction, and what it gains for shared users.
    """

    users: np.ndarray
    source_items: np.ndarray
    items: np.ndarray
    ridge: float
    gain: Gain

    def part(self, people: np.ndarray, items: np.ndarray) -> np.ndarray:
        """Return what is added for (n,) source users and (n,) target items: (n,)."""
        return np.asarray(self.gain.share * np.einsum("nd,nd->n", self.users[people], self.items[items]))


def fit_content(
    problem: ColdStart,
    base: FloorPlus,
    missed: np.ndarray,
    people: np.ndarray,
    items: np.ndarray,
    config: ContentConfig,
) -> Content | None:
    """Fit how much of what users like items to be about carries over into the target.

    A user's vector w solves `min sum_i (e_i - <w, x_i>)^2 + ridge |w|^2` over his source ratings, e being what mean,
    item bias and user bias leave: kernel regression from item to item whose kernel is the likeness of their features.
    As w knows nothing of the target, training rows need no leaving out. Source: ours; none of the papers has it.

    Args:
        problem: Training ratings, and features of both domains' items.
        base: Its floor+.
        missed: (n,) what the model so far leaves of training rows of shared users.
        people: (n,) source users of these rows.
        items: (n,) target items of these rows.
        config: Settings.

    Returns:
        The candidate that gains most; None where the domains have no modality in common, or it does not help enough.
    """
    described = describe(*problem.features, config.width)
    if described is None:
        return None
    source_items, target_items = described

    def candidate(ridge: float) -> Content:
        users = read_vectors(problem.source, base.style.habits, source_items, ridge, 1.0)
        part = np.einsum("nd,nd->n", users[people], target_items[items])
        return Content(users, source_items, target_items, ridge, best_share(missed, part, people, most=np.inf))

    best = max((candidate(ridge) for ridge in config.ridges), key=lambda one: one.gain.mean)
    return best if best.gain.opens(config.gate) else None
