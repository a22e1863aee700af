"""Item k-NN: recommend what is near to a user's history by who chose it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from raymm.config import check, setting
from raymm.contracts import Scorer, TrainData
from raymm.models.baselines.histories import sparse_item_scorer, strongest_of_columns
from raymm.models.spec import FitSpec


@dataclass(frozen=True)
class ItemKnnConfig:
    """Settings of item k-NN."""

    neighbours: int = setting(100, "nearest items of an item that count", ge=1)
    shrinkage: float = setting(10.0, "added to the denominator, so that few common users prove little", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def fit(config: ItemKnnConfig, data: TrainData) -> dict[str, Scorer]:
    """Score item j for a user by the sum of `s(i, j)` over his items i among the k nearest of j.

    `s(i, j) = n_ij / (sqrt(n_i n_j) + shrinkage)` with n_ij the users of both, n_i those of i.

    Source: Sarwar et al., "Item-based Collaborative Filtering Recommendation Algorithms", WWW 2001, cosine similarity,
    with the shrinkage of Bell and Koren, "Improved Neighborhood-based Collaborative Filtering", 2007.

    Args:
        config: Settings.
        data: The training data; each domain is taken for itself.

    Returns:
        Domain name to scorer.
    """
    return {
        domain.name: sparse_item_scorer(domain.interactions, _similarities(config, domain.interactions))
        for domain in data.domains
    }


def _similarities(config: ItemKnnConfig, interactions: sparse.csr_array) -> sparse.csr_array:
    ratings = sparse.csr_array(interactions, dtype=np.float64)
    common = sparse.coo_array(ratings.T @ ratings)
    i, j = common.coords
    other = i != j
    i, j = i[other], j[other]
    roots = np.sqrt(np.bincount(ratings.indices, minlength=ratings.shape[1]))
    values = common.data[other] / (roots[i] * roots[j] + config.shrinkage)
    return strongest_of_columns(sparse.csr_array((values, (i, j)), shape=common.shape), config.neighbours)


SPEC = FitSpec(
    name="item_knn",
    summary="baseline: what is near to a history by who chose it",
    config=ItemKnnConfig,
    presets={"default": ItemKnnConfig()},
    fit=fit,
)
