"""Rankings for users who are new in one of two domains, out of their histories in the other; in closed form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from raymm.config import check
from raymm.contracts import Scorer, TrainData
from raymm.errors import DataError
from raymm.models.spec import FitSpec
from raymm.ratings.cold_ranking import ColdRankingConfig, co_occurrence, fit_cold_ranking, source_histories


@dataclass(frozen=True)
class CoOccurrenceConfig:
    """Settings of co-occurrence: there are none."""

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def fit_ridge(config: ColdRankingConfig, data: TrainData) -> dict[str, Scorer]:
    """Rank each of two domains by histories in the other; see `ratings.cold_ranking.fit_cold_ranking`.

    Raises:
        DataError: There are not two domains, or hardly anybody is known in both.
    """
    return {
        name: fit_cold_ranking(source, target, source_of, config, np.random.default_rng(0)).scorer(
            source_histories(source, source_of)
        )
        for name, source, target, source_of in _directions(data)
    }


def fit_co_occurrence(config: CoOccurrenceConfig, data: TrainData) -> dict[str, Scorer]:
    """Rank each of two domains by what shared users chose in both; see `ratings.cold_ranking.co_occurrence`.

    Raises:
        DataError: There are not two domains.
    """
    del config
    return {name: co_occurrence(source, target, source_of) for name, source, target, source_of in _directions(data)}


def _directions(data: TrainData) -> Iterator[tuple[str, sparse.csr_array, sparse.csr_array, np.ndarray]]:
    """Yield each domain as target: its name, source and target interactions, and the source user of each user."""
    if len(data.domains) != 2:
        names = ", ".join(domain.name for domain in data.domains)
        raise DataError(f"domains {names}", "two, one to know users by and one to rank", "cold ranking")
    for place, target in enumerate(data.domains):
        source = data.domains[1 - place]
        source_of = np.full(target.n_users, -1, dtype=np.int64)
        source_of[data.shared[:, place]] = data.shared[:, 1 - place]
        yield target.name, source.interactions, target.interactions, source_of


RIDGE = FitSpec(
    name="cross_ridge",
    summary="ranking for users new in one of two domains: a ridge regression from their history in the other",
    config=ColdRankingConfig,
    presets={"default": ColdRankingConfig()},
    fit=fit_ridge,
)

CO_OCCURRENCE = FitSpec(
    name="co_occurrence",
    summary="baseline for users new in one of two domains: what shared users chose in both",
    config=CoOccurrenceConfig,
    presets={"default": CoOccurrenceConfig()},
    fit=fit_co_occurrence,
)
