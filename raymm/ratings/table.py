"""Ratings of one domain as rows, and two domains as a cold-start problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from scipy import sparse

from raymm.contracts import Domain, Feature, TrainData
from raymm.errors import DataError


@dataclass(frozen=True, eq=False)
class RatingTable:
    """Ratings of one domain, by user; a user's rows in the order of their times where there are any, else of items.

    Attributes:
        users: (n,) int64, ascending.
        items: (n,) int64.
        ratings: (n,) float64.
        n_users: U.
        n_items: I.
    """

    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    n_users: int
    n_items: int

    @property
    def mean(self) -> float:
        """Mean of all ratings."""
        return float(self.ratings.mean())

    @property
    def scale(self) -> tuple[float, float]:
        """Lowest and highest rating seen."""
        return float(self.ratings.min()), float(self.ratings.max())

    def user_sums(self, values: np.ndarray) -> np.ndarray:
        """Add one number a row up by user: (n,) to (U,) float64."""
        return np.bincount(self.users, weights=values, minlength=self.n_users)

    def item_sums(self, values: np.ndarray) -> np.ndarray:
        """Add one number a row up by item: (n,) to (I,) float64."""
        return np.bincount(self.items, weights=values, minlength=self.n_items)

    @property
    def user_counts(self) -> np.ndarray:
        """(U,) float64, ratings of each user."""
        return np.bincount(self.users, minlength=self.n_users).astype(np.float64)

    @property
    def item_counts(self) -> np.ndarray:
        """(I,) float64, ratings of each item."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.float64)

    def rows(self, chosen: np.ndarray) -> RatingTable:
        """Return the rows that `chosen` (mask or ascending indices) names, with the same users and items."""
        return RatingTable(self.users[chosen], self.items[chosen], self.ratings[chosen], self.n_users, self.n_items)

    def with_ratings(self, ratings: np.ndarray) -> RatingTable:
        """Return the same rows with other ratings: (n,)."""
        return replace(self, ratings=ratings)

    def chosen(self, least: float | None = None) -> sparse.csr_array:
        """Return who rated what, at least as high as `least` if that is given: (U, I) CSR of ones."""
        kept = slice(None) if least is None else self.ratings >= least
        users, items = self.users[kept], self.items[kept]
        return sparse.csr_array((np.ones(len(users)), (users, items)), shape=(self.n_users, self.n_items))

    def by_item(self) -> RatingTable:
        """Return it with users and items in each other's place; rows keep their order."""
        return RatingTable(self.items, self.users, self.ratings, self.n_items, self.n_users)


@dataclass(frozen=True, eq=False)
class ColdStart:
    """Training ratings of two domains: who is known in the source shall be rated for in the target.

    Attributes:
        source: Ratings of the source domain.
        target: Training ratings of the target domain; of cold users it has none.
        source_of: (target users,) int64, the source user who is the same person and has source ratings, -1 for nobody.
        features: Modality to the features of the items, of the source and of the target.
    """

    source: RatingTable
    target: RatingTable
    source_of: np.ndarray
    features: tuple[Mapping[str, Feature], Mapping[str, Feature]] = field(default_factory=lambda: ({}, {}))

    @property
    def shared_rows(self) -> np.ndarray:
        """Indices of the target rows whose user is known in the source: what a transfer learns from."""
        return np.flatnonzero(self.source_of[self.target.users] >= 0)


def table_of(domain: Domain) -> RatingTable:
    """Lay the ratings of a domain out as rows.

    Raises:
        DataError: The domain has no ratings.
    """
    if domain.ratings is None:
        raise DataError(
            "no ratings", "a rating of every interaction", f"domain {domain.name!r}", "name the column of ratings"
        )
    matrix = domain.interactions
    users = np.repeat(np.arange(domain.n_users, dtype=np.int64), np.diff(matrix.indptr))
    items, ratings = matrix.indices.astype(np.int64), domain.ratings.astype(np.float64)
    if domain.times is not None:
        order = np.lexsort((items, domain.times, users))
        items, ratings = items[order], ratings[order]
    return RatingTable(users, items, ratings, domain.n_users, domain.n_items)


def cold_start(data: TrainData, source: str, target: str) -> ColdStart:
    """Read training data as a transfer from one domain to another.

    Args:
        data: Two domains with ratings, and who is known to be one person; cold users are among these.
        source: Name of the domain whose ratings are known.
        target: Name of the domain to rate in.

    Raises:
        DataError: A domain is not there or has no ratings, or no known pair has ratings on both sides.
    """
    names = [domain.name for domain in data.domains]
    tables = table_of(data.domain(source)), table_of(data.domain(target))
    if source == target or len(names) != 2:
        raise DataError(f"domains {names}, from {source!r} to {target!r}", "two domains, one to the other")
    pairs = data.shared if names[0] == source else data.shared[:, ::-1]
    source_of = np.full(tables[1].n_users, -1, dtype=np.int64)
    rated = pairs[tables[0].user_counts[pairs[:, 0]] > 0]
    source_of[rated[:, 1]] = rated[:, 0]
    problem = ColdStart(*tables, source_of, (data.domain(source).features, data.domain(target).features))
    if len(np.unique(problem.target.users[problem.shared_rows])) < 2:
        raise DataError(
            "fewer than two users with ratings in both domains",
            "some, to learn the transfer from",
            f"from {source!r} to {target!r}",
            "raise shared_ratio of the recipe, or hold fewer users out",
        )
    return problem
