"""Sparse hypergraphs of items: hyperedges as balanced clusters, found by a Gromov-Wasserstein problem."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from scipy import optimize, sparse, special

from raymm.config import check, setting
from raymm.contracts import Feature
from raymm.errors import ConfigError, DataError, SolverError
from raymm.graph.assignment import Assignment, balanced_assignment, free_assignment, penalty
from raymm.graph.clusters import joined_rows, kmeans_labels, seeded_labels
from raymm.graph.crew import ALONE, Crew, Holders, Shared, SingleHolder, rows_for

_LEAST_ROWS = 8_192  # rows below which a shard costs more in meetings than it saves
_DUST = 1e-6  # memberships below this are rounding, or the fading trace of an early iteration


@dataclass(frozen=True)
class HypergraphConfig:
    """How items are gathered in hyperedges."""

    clusters: int = setting(15, "Number of hyperedges K.", ge=1)
    items_per_cluster: int = setting(
        0, "K as the number of items over this, so that K grows with the items; 0 takes `clusters`.", ge=0
    )
    method: Literal["transport", "kmeans", "gumbel"] = setting(
        "transport",
        "Gromov-Wasserstein clusters; plain k-means with each item in one hyperedge; or memberships that are learned "
        "with the rest, by Gumbel-softmax of the features from the k-means centres on.",
    )
    temperature: float = setting(0.2, "Temperature of the Gumbel-softmax.", gt=0)
    epsilon: float = setting(0.5, "Weight of the penalty; from 2 on nothing but the uniform plan is left.", gt=0)
    regulariser: Literal["l2", "entropy"] = setting("l2", "Penalty on the plan: l2 makes it sparse, entropy dense.")
    marginal: Literal["balanced", "free"] = setting(
        "balanced", "Equal hyperedges, or free ones, which may collapse (for comparison only)."
    )
    structure: Literal["identity", "learned"] = setting(
        "identity", "Similarity among hyperedges: none across them, or as the items have it."
    )
    tolerance: float = setting(1e-5, "Stop at this optimality gap.", unit="objective", gt=0)
    column_tolerance: float = setting(1e-5, "Stop the inner loop at this column error.", unit="column sum", gt=0)
    accept: float = setting(1e-2, "Refuse a plan whose gap or column error is above this.", gt=0)
    max_iterations: int = setting(100, "Most outer iterations.", ge=1)
    max_evaluations: int = setting(500, "Most evaluations of the inner dual in an outer iteration.", ge=0)

    def __post_init__(self) -> None:
        """Check the ranges, and that a structure is learned for balanced hyperedges only."""
        check(self)
        if self.structure == "learned" and self.marginal == "free":
            raise ConfigError(
                "structure: found 'learned' with marginal 'free', expected marginal 'balanced'",
                "",
                "HypergraphConfig",
                "free hyperedges and a structure that follows them could shrink together",
            )

    def sized(self, n_items: int) -> HypergraphConfig:
        """Return the settings with the number of hyperedges for so many items."""
        if not self.items_per_cluster:
            return self
        return replace(self, clusters=max(1, round(n_items / self.items_per_cluster)))


@dataclass(frozen=True, eq=False)
class Hypergraph:
    """The memberships of items in hyperedges, and how far to trust them.

    Attributes:
        gamma: (I, K) float32 CSR, rows summing to one; of a shard, its rows. Feed it to `HypergraphOperator`.
        objective: The objective at the start and after each outer iteration; empty for k-means.
        gap: Optimality gap at the end, as a share of the objective; 0 at a stationary plan.
        column_error: Largest difference of a hyperedge's size from I / K, as a share of it; 0 where sizes are free.
        iterations: Outer iterations.
        evaluations: Evaluations of the inner dual, over all outer iterations.
        converged: Whether gap and column error are within their tolerances (k-means: labels stopped changing).
        effective_clusters: `exp` of the information that an item's memberships carry, from 1 (uniform plan, or all in
            one hyperedge) to K (equal hyperedges, each item in one).
        structure: (K, K) similarity among hyperedges as used last.
    """

    gamma: sparse.csr_array
    objective: tuple[float, ...]
    gap: float
    column_error: float
    iterations: int
    evaluations: int
    converged: bool
    effective_clusters: float
    structure: np.ndarray

    def diagnostics(self) -> dict[str, float]:
        """Return the figures worth logging; sizes of hyperedges are in units of I / K."""
        sizes = np.asarray(self.gamma.sum(axis=0)).ravel() * self.gamma.shape[1] / max(1, self.gamma.shape[0])
        return {
            "hypergraph.gap": self.gap,
            "hypergraph.column_error": self.column_error,
            "hypergraph.iterations": float(self.iterations),
            "hypergraph.evaluations": float(self.evaluations),
            "hypergraph.converged": float(self.converged),
            "hypergraph.effective_clusters": self.effective_clusters,
            "hypergraph.effective_share": self.effective_clusters / self.gamma.shape[1],
            "hypergraph.smallest": float(sizes.min()),
            "hypergraph.largest": float(sizes.max()),
            "hypergraph.memberships_per_item": self.gamma.nnz / max(1, self.gamma.shape[0]),
        }


def item_hypergraph(
    graph: sparse.csr_array,
    features: Mapping[str, Feature],
    config: HypergraphConfig,
    generator: np.random.Generator,
    crew: Crew = ALONE,
) -> Hypergraph:
    """Gather the items of a domain in K hyperedges, from k-means++ on their features.

    Args:
        graph: (I, I) symmetric, symmetrically normalised similarities (`Fusion.graph`).
        features: Modality name to features of the same items; they give the start, or, with k-means, all.
        config: The settings. With `gumbel`, the result is the k-means partition that a model's learning starts from.
        generator: Source of randomness of the start.
        crew: Who works. Shards of rows give the plan of one holder, but for the rounding of sums.

    Raises:
        DataError: Shapes do not fit, or there are fewer items than hyperedges.
        SolverError: See `transport_plan`.
    """
    points = joined_rows(features)
    if graph.shape != (len(points), len(points)):
        raise DataError(f"a graph {graph.shape} with {len(points)} rows of features", "as many of each", "hypergraph")
    config = config.sized(len(points))
    if config.method != "transport":
        labels, iterations, converged = kmeans_labels(points, config.clusters, generator)
        return _partition(labels, config.clusters, iterations, converged)
    start = started_plan(points, config.clusters, generator)
    del points
    shards = rows_for(crew, len(start), _LEAST_ROWS)
    if len(shards) == 1:
        return transport_plan(graph, start, config)
    pieces = [(graph[rows.start : rows.stop], start[rows.start : rows.stop]) for rows in shards]
    parts = crew.together(_shard_plan, {"config": config}, pieces)
    whole = sparse.csr_array(sparse.vstack([part.gamma for part in parts], format="csr"))
    return replace(parts[0], gamma=whole)


def started_plan(points: np.ndarray, n_clusters: int, generator: np.random.Generator) -> np.ndarray:
    """Make a start, half k-means++ labels and half uniform: (I, K), rows summing to one.

    The uniform plan alone would never be left: all hyperedges have the same gradient there.
    """
    start = np.full((len(points), n_clusters), 0.5 / n_clusters)
    start[np.arange(len(points)), seeded_labels(points, n_clusters, generator)] += 0.5
    return start


def transport_plan(
    graph: sparse.csr_array, start: np.ndarray, config: HypergraphConfig, holders: Holders | None = None
) -> Hypergraph:
    """Transport items onto K abstract clusters whose own similarity structure is B.

    Minimises `F(gamma) = -<gamma, A gamma B> + epsilon penalty(gamma)` over gamma >= 0 with rows summing to one and, if
    balanced, columns summing to I / K. The first term is half the Gromov-Wasserstein distance with square loss between
    (A, uniform) and (B, uniform), up to scale and to what the marginals fix (Peyre, Cuturi, Solomon, ICML 2016,
    prop. 1); the l2 penalty makes the plan sparse. Solved by generalised conditional gradient (Bredies, Lorenz, Maass
    2009) with exact line search, from the plan of the right sums that is nearest to the start.

    Source: SIEOUG (arXiv 2502.16068), sparse item hypergraph construction. Derived form: the text names a clustering
    matrix from a Gromov-Wasserstein problem with K = 15 and an inner loop, and gives no formula. B is the identity;
    `learned` fits it to the plan after each iteration, `B = (I / K) gamma^T A gamma / (c c^T)` with column sums c,
    and adds to F the term `(K / 2I) c^T (B o B) c`, which is constant only as long as B is. `free` columns keep F as
    it is: of the terms that the marginals fixed, none is left to speak against a collapse, which is what it shows.

    Args:
        graph: A, (R, I) the rows held here of the symmetric, symmetrically normalised item graph; R = I if alone.
        start: (R, K) non-negative, rows summing to one.
        config: The settings; `method` plays no part.
        holders: Those who hold the other rows; None if alone. They exchange K + 2 numbers in each inner evaluation,
            and once an outer iteration the rows of the plan and a few sums.

    Returns:
        The plan of the rows held here, with figures of the whole. It is a local minimum, as the problem is not convex.
        Distrust it where `effective_clusters` is far below K: epsilon is too large, or the inner loop was cut short.

    Raises:
        DataError: Shapes do not fit, entries are negative or not finite, or there are fewer items than clusters.
        SolverError: Gap or column error end above `config.accept`.
    """
    _check_problem(graph, start, config, alone=holders is None)
    problem = _Problem(graph, config, SingleHolder() if holders is None else holders)
    inner = problem.nearest(start)
    gamma, product, B = inner.plan, problem.product(inner.plan), np.eye(config.clusters)
    objective = [problem.objective(gamma, product, B)]
    iterations, evaluations, gap = 0, inner.evaluations, np.inf
    while iterations < config.max_iterations:
        scores = 2 * product @ B
        inner = problem.assign(scores, inner.potentials)
        iterations, evaluations = iterations + 1, evaluations + inner.evaluations
        gap = problem.gap(gamma, inner, scores) / max(1.0, abs(objective[-1]))
        if gap <= config.tolerance:
            break
        direction = inner.plan - gamma
        moved = problem.product(direction)
        step = problem.step(gamma, direction, scores, moved @ B)
        if step == 0:  # what is left is below the accuracy of the inner loop
            break
        gamma, product = gamma + step * direction, product + step * moved
        if config.structure == "learned":
            B = problem.fitted_structure(gamma, product)
        objective.append(problem.objective(gamma, product, B))
    return problem.result(gamma, B, objective, gap, iterations, evaluations)


@dataclass(frozen=True, eq=False)
class _Problem:
    """The pieces of the problem for the rows held here; every number it returns is that of all rows."""

    graph: sparse.csr_array
    config: HypergraphConfig
    holders: Holders

    @property
    def target(self) -> float:
        """Size of a hyperedge, I / K."""
        return float(self.graph.shape[1] / self.config.clusters)

    def total(self, *values: float) -> np.ndarray:
        return self.holders.total(np.array(values, np.float64))

    def columns(self, gamma: np.ndarray) -> np.ndarray:
        return self.holders.total(gamma.sum(axis=0))

    def product(self, gamma: np.ndarray) -> np.ndarray:
        product: np.ndarray = self.graph @ self.holders.gathered(gamma)
        return product

    def nearest(self, start: np.ndarray) -> Assignment:
        """Move the start to the nearest plan of the right sums: in l2, or in relative entropy."""
        clusters, epsilon = self.config.clusters, self.config.epsilon
        logarithms = np.log(np.maximum(start, np.finfo(np.float64).tiny)) / clusters
        scores = epsilon * (start if self.config.regulariser == "l2" else logarithms)
        return self.assign(scores, np.zeros(clusters))

    def assign(self, scores: np.ndarray, potentials: np.ndarray) -> Assignment:
        """Solve the inner problem: the best plan for a fixed gradient, which is minus the scores."""
        config = self.config
        if config.marginal == "free":
            return Assignment(free_assignment(scores, config.epsilon, config.regulariser), potentials, 0.0, 0)
        return balanced_assignment(
            scores,
            config.epsilon,
            config.regulariser,
            potentials,
            config.column_tolerance,
            config.max_evaluations,
            self.holders.total,
        )

    def objective(self, gamma: np.ndarray, product: np.ndarray, B: np.ndarray) -> float:
        alignment, plan_penalty = self.total(
            float(((product @ B) * gamma).sum()), penalty(gamma, self.config.regulariser)
        )
        value = -alignment + self.config.epsilon * plan_penalty
        if self.config.structure == "learned":
            columns = self.columns(gamma)
            value += columns @ (B * B) @ columns / (2 * self.target)
        return float(value)

    def gap(self, gamma: np.ndarray, inner: Assignment, scores: np.ndarray) -> float:
        """Bound how far the linearised objective can fall, by the dual value at the potentials; never negative."""
        regulariser, epsilon = self.config.regulariser, self.config.epsilon
        gain = float(((scores + inner.potentials) * (inner.plan - gamma)).sum())
        (gap,) = self.total(gain + epsilon * (penalty(gamma, regulariser) - penalty(inner.plan, regulariser)))
        return float(gap)

    def step(self, gamma: np.ndarray, direction: np.ndarray, scores: np.ndarray, moved: np.ndarray) -> float:
        """Return the step in [0, 1] with the lowest objective along the direction."""
        epsilon = self.config.epsilon
        slope, curvature, across, length = self.total(
            -float((scores * direction).sum()),
            -float((moved * direction).sum()),
            float((gamma * direction).sum()),
            float((direction**2).sum()) / 2,
        )
        if self.config.regulariser == "l2":
            slope, curvature = slope + epsilon * across, curvature + epsilon * length
            if curvature > 0:
                return float(np.clip(-slope / (2 * curvature), 0, 1))
            return 1.0 if slope + curvature < 0 else 0.0

        def change(t: float) -> float:
            (entropy,) = self.total(penalty(gamma + t * direction, "entropy"))
            return float(slope * t + curvature * t * t + epsilon * entropy)

        inside = float(optimize.minimize_scalar(change, bounds=(0, 1), method="bounded").x)
        return min((0.0, inside, 1.0), key=change)

    def fitted_structure(self, gamma: np.ndarray, product: np.ndarray) -> np.ndarray:
        """Fit B to the plan; an empty cluster resembles nothing."""
        columns = self.columns(gamma)
        between: np.ndarray = self.holders.total(gamma.T @ product)
        sizes = np.outer(columns, columns)
        fitted = np.divide(self.target * between, sizes, out=np.zeros_like(between), where=sizes > 0)
        return np.asarray((fitted + fitted.T) / 2)

    def result(
        self, gamma: np.ndarray, B: np.ndarray, objective: list[float], gap: float, iterations: int, evaluations: int
    ) -> Hypergraph:
        """Check the plan against the thresholds and pack it with its figures."""
        config, columns = self.config, self.columns(gamma)
        error = float(np.abs(columns / self.target - 1).max()) if config.marginal == "balanced" else 0.0
        if gap > config.accept or error > config.accept:
            raise SolverError(
                f"gap {gap:.2g}, column error {error:.2g} after {iterations} iterations and {evaluations} evaluations",
                f"both at most {config.accept:g}",
                "hypergraph",
                "raise max_iterations or max_evaluations, or change epsilon",
            )
        (entropy,) = self.total(float(special.entr(gamma).sum()))
        return Hypergraph(
            gamma=_sparse(gamma),
            objective=tuple(objective),
            gap=gap,
            column_error=error,
            iterations=iterations,
            evaluations=evaluations,
            converged=gap <= config.tolerance and error <= config.column_tolerance,
            effective_clusters=_effective_clusters(columns, float(entropy)),
            structure=B,
        )


def _shard_plan(shared: Shared, piece: Any, holders: Holders) -> Hypergraph:
    graph, start = piece
    return transport_plan(graph, start, shared["config"], holders)


def _check_problem(graph: sparse.csr_array, start: np.ndarray, config: HypergraphConfig, alone: bool) -> None:
    rows, items = graph.shape
    if config.clusters > items:
        raise DataError(
            f"{config.clusters} clusters of {items} items",
            "at most as many clusters as items",
            "hypergraph",
            "lower the setting `clusters`",
        )
    if start.shape != (rows, config.clusters) or rows > items or (alone and rows != items):
        raise DataError(
            f"a graph {graph.shape} with a start {start.shape}",
            f"(rows, items), (rows, {config.clusters})",
            "hypergraph",
        )
    if graph.nnz and not (np.isfinite(graph.data).all() and graph.data.min() >= 0):
        raise DataError("negative or non-finite similarities", "finite ones, not negative", "hypergraph")
    if alone and abs(graph - graph.T).max() > 1e-6:
        raise DataError("a graph that is not symmetric", "as similar forth as back", "hypergraph")
    if not (np.isfinite(start).all() and (start >= 0).all() and np.allclose(start.sum(axis=1), 1)):
        raise DataError("a start that is no plan", "rows that are not negative and sum to one", "hypergraph")


def _partition(labels: np.ndarray, n_clusters: int, iterations: int, converged: bool) -> Hypergraph:
    """Put each item in the hyperedge of its label."""
    gamma = sparse.csr_array(
        (np.ones(len(labels), np.float32), labels, np.arange(len(labels) + 1)), shape=(len(labels), n_clusters)
    )
    columns = np.bincount(labels, minlength=n_clusters).astype(np.float64)
    return Hypergraph(
        gamma, (), 0.0, 0.0, iterations, 0, converged, _effective_clusters(columns, 0.0), np.eye(n_clusters)
    )


def _sparse(gamma: np.ndarray) -> sparse.csr_array:
    """Store what is above rounding, rows still summing to one."""
    kept = np.where(gamma > _DUST, gamma, 0)
    return sparse.csr_array((kept / kept.sum(axis=1, keepdims=True)).astype(np.float32))


def _effective_clusters(columns: np.ndarray, entropy: float) -> float:
    """Return exp(entropy of the column shares - mean entropy of the rows), from the summed entropy of the rows."""
    shares = columns / columns.sum()
    return float(np.exp(special.entr(shares).sum() - entropy / columns.sum()))
