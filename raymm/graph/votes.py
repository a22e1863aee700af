"""What each item of a history says for other items: regressed on who chose them, with an item graph as prior."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from raymm.config import check, setting
from raymm.errors import ConfigError, DataError
from raymm.graph.crew import ALONE, Crew, Shared, pieces_for
from raymm.graph.neighbours import strongest

_LEAST_ITEMS = 500  # items of a piece of work


@dataclass(frozen=True)
class VotesConfig:
    """How a user's history votes for items, beside the embeddings."""

    weight: float = setting(150.0, "weight of the votes beside the embeddings' score; 0 leaves them out", ge=0)
    ridge: float = setting(30.0, "weight of the squared votes", unit="users", gt=0)
    graph: float = setting(15.0, "users that a link of weight 1 in the item graph counts for; at most ridge", ge=0)
    neighbours: int = setting(100, "items that may vote for an item, beside its neighbours in the item graph", ge=1)
    support_shrinkage: float = setting(10.0, "added to the denominator of the cosine that chooses these", ge=0)
    cross: float = setting(1.0, "weight of the history in the other domain, by known pairs; 0 leaves it out", ge=0)
    cross_ridge: float = setting(100.0, "weight of the squared votes across domains", unit="users", gt=0)
    cross_shrinkage: float = setting(
        100.0, "added to the denominator of the cosine that chooses who may vote across", ge=0
    )

    def __post_init__(self) -> None:
        """Check the limits, and that every system has one solution."""
        check(self)
        if self.graph > self.ridge:
            raise ConfigError(f"votes.graph: found {self.graph:g}, expected at most votes.ridge, {self.ridge:g}")


def item_votes(
    interactions: sparse.csr_array, graph: sparse.csr_array | None, config: VotesConfig, crew: Crew = ALONE
) -> sparse.csr_array:
    """Solve for the votes `b_j` for each item j, on a support of its own.

    Minimises `|X_j - X_N b|^2 + lambda |b|^2 + alpha (b' A_NN b - 2 b' A_Nj)`, where N holds the items nearest to j by
    who chose both (cosine with shrinkage) and those next to it in the item graph A; j never votes for itself. That is
    `(G_NN + lambda I) b = G_Nj` with `G = X'X + alpha A`: a link of the graph counts like so many common users.

    Source: Ning and Karypis, "SLIM: Sparse Linear Methods for Top-N Recommender Systems", ICDM 2011, with selected
    features; EASE (arXiv 1905.03375) for the ridge in place of its L1 norm; and Ning and Karypis, "Sparse Linear
    Methods with Side Information for Top-N Recommendations", RecSys 2012, for side information as more rows. Differs
    from these: the side information is a similarity graph, votes may be negative, and the support is the union.

    Args:
        interactions: X, (U, I) 0 or 1.
        graph: A, (I, I) symmetric with eigenvalues in [-1, 1] and an empty diagonal; None for none.
        config: The settings.
        crew: Who works, each on a run of items; the votes do not depend on it.

    Returns:
        (I, I) float32; entry (i, j) is what item i says for item j. Time and memory grow with the items, the common
        users of their pairs, and the square (memory) or cube (time) of the support.

    Raises:
        DataError: The graph is of another number of items.
    """
    ratings = sparse.csr_array(interactions, dtype=np.float64)
    items = ratings.shape[1]
    gram = sparse.csr_array(ratings.T @ ratings)
    support = strongest(_cosines(gram, config.support_shrinkage), config.neighbours)
    if graph is not None:
        if graph.shape != gram.shape:
            raise DataError(f"a graph of {graph.shape[0]} items", f"one of {items}", "votes of items")
        gram = sparse.csr_array(gram + config.graph * graph.astype(np.float64))
        support = sparse.csr_array(support + graph.astype(np.float64))
    support.sort_indices()
    return _solved({"gram": gram, "right": gram, "support": support, "ridge": config.ridge}, crew)


def cross_votes(
    source: sparse.csr_array, target: sparse.csr_array, pairs: np.ndarray, config: VotesConfig, crew: Crew = ALONE
) -> sparse.csr_array:
    """Solve for what items of one domain say for items of the other, by the known pairs.

    Minimises `|Y_j - X_N b|^2 + cross_ridge |b|^2` over the pairs for each item j of the target, X and Y the two sides'
    interactions of the pairs. N holds the `neighbours` items with the greatest
    `n_ij / (sqrt(n_i n_j) + cross_shrinkage)`, n_ij the pairs of which one chose i and the other j, and n_i, n_j all
    users of either. Where taste does not carry over, or few pairs are known, the votes are small.

    Source: as `item_votes`, between two sets of items.

    Args:
        source: (U, I) interactions of the domain that speaks.
        target: (U', J) interactions of the other.
        pairs: (q, 2) user of the source, user of the target.
        config: The settings.
        crew: Who works, each on a run of items of the target; the votes do not depend on it.

    Returns:
        (I, J) float32. Time grows with the items of the target, and the cube of the support.
    """
    speaking, spoken = (sparse.csr_array(matrix, dtype=np.float64) for matrix in (source, target))
    own, other = (sparse.csr_array(matrix[pairs[:, side]]) for side, matrix in enumerate((speaking, spoken)))
    common = sparse.csr_array(other.T @ own)
    entries = sparse.coo_array(common)
    j, i = entries.coords
    counts = [np.bincount(matrix.indices, minlength=matrix.shape[1]) for matrix in (speaking, spoken)]
    values = entries.data / (np.sqrt(counts[0][i] * counts[1][j]) + config.cross_shrinkage)
    support = strongest(sparse.csr_array((values, (j, i)), shape=common.shape), config.neighbours)
    support.sort_indices()
    gram = sparse.csr_array(own.T @ own)
    return _solved({"gram": gram, "right": common, "support": support, "ridge": config.cross_ridge}, crew)


def _cosines(gram: sparse.csr_array, shrinkage: float) -> sparse.csr_array:
    entries = sparse.coo_array(gram)
    i, j = entries.coords
    roots = np.sqrt(gram.diagonal())
    other = i != j
    i, j = i[other], j[other]
    values = entries.data[other] / (roots[i] * roots[j] + shrinkage)
    return sparse.csr_array((values, (i, j)), shape=gram.shape)


def _solved(shared: Shared, crew: Crew) -> sparse.csr_array:
    """Solve for every row of the support: (I, J), column j holds the votes for j."""
    pieces = pieces_for(crew, shared["support"].shape[0], _LEAST_ITEMS)
    return sparse.csr_array(sparse.vstack(crew.map(_solve_run, shared, pieces), format="csr").T)


def _solve_run(shared: Shared, run: range) -> sparse.csr_array:
    """Solve `(gram_NN + ridge I) b = right_jN` for a run of rows j of the support: (run, I)."""
    gram, right, support, ridge = (shared[name] for name in ("gram", "right", "support", "ridge"))
    starts, columns, values = [0], [], []
    wanted = np.zeros(gram.shape[0])
    for item in run:
        voters = support.indices[support.indptr[item] : support.indptr[item + 1]]
        row = slice(right.indptr[item], right.indptr[item + 1])
        wanted[right.indices[row]] = right.data[row]
        system = gram[voters][:, voters].toarray()
        system[np.diag_indices_from(system)] += ridge
        columns.append(voters)
        values.append(np.linalg.solve(system, wanted[voters]).astype(np.float32))
        wanted[right.indices[row]] = 0.0
        starts.append(starts[-1] + len(voters))
    whole = (np.concatenate(values), np.concatenate(columns), np.array(starts))
    return sparse.csr_array(whole, shape=(len(run), gram.shape[1]))
