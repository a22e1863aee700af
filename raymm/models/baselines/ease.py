"""EASE: a linear model from items to items in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from raymm.config import check, setting
from raymm.contracts import Domain, Scorer, TrainData
from raymm.errors import DataError
from raymm.models.baselines.histories import sparse_item_scorer, strongest_of_columns

_COLUMNS_AT_ONCE = 1_024
_Columns = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class EaseConfig:
    """Settings of EASE."""

    ridge: float = setting(100.0, "lambda, weight of the squared weights", gt=0)
    kept: int = setting(
        1_000, "weights kept of each item's column, the largest in size; as many as items keeps all", ge=1
    )
    most_items: int = setting(40_000, "refuse more items: the matrix has their square in entries", unit="items", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


def fit(config: EaseConfig, data: TrainData) -> dict[str, Scorer]:
    """Solve `min |X - X B|^2 + lambda |B|^2` with a zero diagonal of B, and score by X B.

    `B = I - P diag(1 / diag P)` with `P = (X^T X + lambda I)^-1`.

    Source: Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (arXiv 1905.03375), eqs. 1 and 8.

    Differs from the source: with fewer users than items, P comes from the inverse of the users' matrix,
    `P = (I - X^T (X X^T + lambda I)^-1 X) / lambda`; and only the `kept` largest weights of each column are stored.

    Args:
        config: Settings.
        data: The training data; each domain is taken for itself.

    Returns:
        Domain name to scorer. Memory is the square of the smaller of users and items, 8 bytes an entry, and that of a
        block of columns.

    Raises:
        DataError: There are more items than `most_items`.
    """
    return {domain.name: sparse_item_scorer(domain.interactions, _weights(config, domain)) for domain in data.domains}


def _weights(config: EaseConfig, domain: Domain) -> sparse.csr_array:
    if min(domain.n_items, domain.n_users) > config.most_items:
        raise DataError(
            f"{domain.n_users} users, {domain.n_items} items",
            f"at most {config.most_items} of one of them",
            f"domain {domain.name!r}",
            "raise most_items if the memory is there (8 bytes x its square), or take item_knn",
        )
    ratings = sparse.csr_array(domain.interactions, dtype=np.float64)
    inverse = _users_inverse if domain.n_users < domain.n_items else _items_inverse
    columns_of = inverse(ratings, config.ridge)
    blocks = []
    for start in range(0, domain.n_items, _COLUMNS_AT_ONCE):
        stop = min(start + _COLUMNS_AT_ONCE, domain.n_items)
        columns = columns_of(start, stop)
        own = (np.arange(start, stop), np.arange(stop - start))
        columns /= -columns[own]
        columns[own] = 0
        blocks.append(strongest_of_columns(sparse.csr_array(columns), config.kept))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def _items_inverse(ratings: sparse.csr_array, ridge: float) -> _Columns:
    gram = (ratings.T @ ratings).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    whole = linalg.inv(gram, overwrite_a=True, check_finite=False)

    def columns(start: int, stop: int) -> np.ndarray:
        return np.array(whole[:, start:stop])

    return columns


def _users_inverse(ratings: sparse.csr_array, ridge: float) -> _Columns:
    gram = (ratings @ ratings.T).toarray()
    gram[np.diag_indices_from(gram)] += ridge
    users = linalg.inv(gram, overwrite_a=True, check_finite=False)

    def columns(start: int, stop: int) -> np.ndarray:
        block = -(ratings.T @ (users @ ratings[:, start:stop].toarray()))
        block[np.arange(start, stop), np.arange(stop - start)] += 1
        return np.asarray(block / ridge)

    return columns
