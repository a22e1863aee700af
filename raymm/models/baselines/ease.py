"""EASE: a linear model from items to items in closed form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, sparse

from raymm.config import check, setting
from raymm.contracts import Domain, Scorer, TrainData
from raymm.errors import DataError
from raymm.models.baselines.histories import sparse_item_scorer
from raymm.models.spec import FitSpec

_COLUMNS_AT_ONCE = 512
_Columns = Callable[[int, int], np.ndarray]


@dataclass(frozen=True)
class EaseConfig:
    """Settings of EASE."""

    ridge: float = setting(100.0, "lambda, weight of the squared weights", gt=0)
    kept: int = setting(
        1_000, "weights kept of each item's column, the largest in size; as many as items keeps all", ge=1
    )
    most_items: int = setting(
        40_000,
        "refuse more items where users are more, too: the matrix has the square of the fewer in entries",
        unit="items",
        ge=1,
    )

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
        DataError: There are more items than `most_items`, and more users too.
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
    columns_of = (_by_users if domain.n_users < domain.n_items else _by_items)(ratings, config.ridge)
    blocks = []
    for start in range(0, domain.n_items, _COLUMNS_AT_ONCE):
        stop = min(start + _COLUMNS_AT_ONCE, domain.n_items)
        columns = columns_of(start, stop)
        own = (np.arange(start, stop), np.arange(stop - start))
        columns /= -columns[own]
        columns[own] = 0
        blocks.append(_largest(columns, config.kept))
    return sparse.csr_array(sparse.hstack(blocks, format="csr"))


def _by_items(ratings: sparse.csr_array, ridge: float) -> _Columns:
    whole = _inverse((ratings.T @ ratings).toarray(), ridge)

    def columns(start: int, stop: int) -> np.ndarray:
        return np.array(whole[:, start:stop])

    return columns


def _by_users(ratings: sparse.csr_array, ridge: float) -> _Columns:
    users = _inverse((ratings @ ratings.T).toarray(), ridge)

    def columns(start: int, stop: int) -> np.ndarray:
        # Sparse times dense on both sides; the inverse is symmetric.
        block = -(ratings.T @ np.ascontiguousarray((ratings[:, start:stop].T @ users).T))
        block[np.arange(start, stop), np.arange(stop - start)] += 1
        return np.asarray(block / ridge)

    return columns


def _inverse(gram: np.ndarray, ridge: float) -> np.ndarray:
    """Invert `gram + ridge I`, symmetric and positive definite, by its Cholesky factor."""
    gram[np.diag_indices_from(gram)] += ridge
    factor, failed = linalg.lapack.dpotrf(gram.T, lower=1, overwrite_a=1)  # in place: its transpose is in column order
    lower, also_failed = linalg.lapack.dpotri(factor, lower=1, overwrite_c=1)
    if failed or also_failed:
        raise DataError("a matrix that is not positive definite", "a larger ridge", "EASE", "raise `ridge`")
    for start in range(0, len(lower), _COLUMNS_AT_ONCE):  # mirror in blocks: no second matrix
        stop = min(start + _COLUMNS_AT_ONCE, len(lower))
        lower[start:stop, stop:] = lower[stop:, start:stop].T
        block = np.tril(lower[start:stop, start:stop])
        lower[start:stop, start:stop] = block + np.tril(block, -1).T
    return np.asarray(lower)


def _largest(columns: np.ndarray, kept: int) -> sparse.csr_array:
    """Keep the entries of each column that are largest in size, those that are not zero."""
    if kept < len(columns):
        dropped = np.argpartition(np.abs(columns), len(columns) - kept, axis=0)[: len(columns) - kept]
        np.put_along_axis(columns, dropped, 0, axis=0)
    return sparse.csr_array(columns)


SPEC = FitSpec(
    name="ease",
    summary="baseline: a linear model from items to items in closed form",
    config=EaseConfig,
    presets={"default": EaseConfig()},
    fit=fit,
)
