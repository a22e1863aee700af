"""Popularity: recommend to everybody what most people chose."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from raymm.contracts import Scorer, TrainData
from raymm.models.spec import FitSpec
from raymm.scorers import ItemScorer


@dataclass(frozen=True)
class PopularityConfig:
    """Popularity has no settings."""


def fit(config: PopularityConfig, data: TrainData) -> dict[str, Scorer]:  # noqa: ARG001 - the form all baselines share
    """Count the users of each item.

    The score of item i is the number of training users who chose it, the same for every user. Items of equal counts
    rank by index, the rule of the evaluation; items that nobody chose score zero and come last.

    Args:
        config: Nothing to set.
        data: The training data; each domain is counted for itself.

    Returns:
        Domain name to scorer. Counts are exact up to 2^24 users an item.
    """
    return {
        domain.name: ItemScorer(_counts(domain.interactions.indices, domain.n_items), domain.n_users)
        for domain in data.domains
    }


def _counts(items: np.ndarray, n_items: int) -> torch.Tensor:
    return torch.from_numpy(np.bincount(items, minlength=n_items).astype(np.float32))


SPEC = FitSpec(
    name="popularity",
    summary="baseline: what most people chose",
    config=PopularityConfig,
    presets={"default": PopularityConfig()},
    fit=fit,
)
