"""Robust fusion of item similarities: what all modalities agree on, and the sparse noise of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import sparse, stats

from raymm.config import check, setting
from raymm.contracts import Feature
from raymm.errors import DataError, SolverError
from raymm.graph.adjacency import symmetrically_normalised
from raymm.graph.crew import ALONE, Crew, Shared, pieces_for
from raymm.graph.neighbours import directions, nearest, read_pairs, strongest, union_support
from raymm.graph.trust import trust_in_links

_CHECK_EVERY = 10  # sweeps of block coordinate descent between two looks at the error
_LEAST_ENTRIES = 200_000  # entries of a piece of work
_DUST = 1e-9  # noise below this share of beta is rounding


@dataclass(frozen=True)
class FusionConfig:
    """How item similarities of several modalities become one graph.

    The letter of the method as far as it is known: `doubt=0, scale="none", beta=0.1`. On features whose similarities
    are of different size that is nearly the minimum over modalities; `scale="quantile"` mends it.
    """

    neighbours: int = setting(10, "Neighbours an item keeps, in each modality and in the fused graph.", ge=1)
    solver: Literal["closed_form", "bcd", "mean"] = setting(
        "closed_form", "Exact solution, block coordinate descent, or the plain mean (fusion switched off)."
    )
    doubt: float = setting(
        0.3,
        "Weigh a modality down whose links foretell less than this share of what those of the best one foretell of who "
        "is chosen together; 0 trusts all alike.",
        ge=0,
        le=1,
    )
    scale: Literal["quantile", "none"] = setting(
        "quantile", "Give the similarities of all modalities one distribution first, or take them as they are."
    )
    beta: float = setting(
        0.3, "Difference between modalities beyond which it is noise.", unit="median positive similarity", gt=0
    )
    ridge: float = setting(1e-3, "Weight of ||A||^2 in block coordinate descent.", gt=0, le=1)
    tolerance: float = setting(1e-4, "Stop block coordinate descent at this error.", unit="similarity", gt=0)
    accept: float = setting(1e-2, "Refuse a result whose error is above this.", unit="similarity", gt=0)
    max_sweeps: int = setting(20_000, "Most sweeps of block coordinate descent.", ge=1)

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)


@dataclass(frozen=True, eq=False)
class Fusion:
    """A fused item graph, and how it came about.

    Attributes:
        graph: (I, I) float32, the strongest entries of `general`, symmetric and symmetrically normalised.
        general: (I, I) float32, the general similarity A on the whole support, on the common scale.
        noise: One (I, I) float32 a modality, E_q on the support; zeros are not stored.
        beta: The threshold as used, on the common scale.
        objective: Value of the objective at the start and at each look at the error; one value for direct solvers.
        iterations: Sweeps done; 0 for direct solvers.
        trust: Weight of each modality.
        error: Bound on the distance of any entry of A from the minimiser.
        converged: Whether the error is within the tolerance.
        noise_free_share: Share of the linked pairs on which no modality has noise.
    """

    graph: sparse.csr_array
    general: sparse.csr_array
    noise: tuple[sparse.csr_array, ...]
    beta: float
    objective: tuple[float, ...]
    iterations: int
    trust: tuple[float, ...]
    error: float
    converged: bool
    noise_free_share: float

    def diagnostics(self) -> dict[str, float]:
        """Return the figures worth logging."""
        return {
            "fusion.beta": self.beta,
            "fusion.edges": float(self.graph.nnz),
            "fusion.iterations": float(self.iterations),
            "fusion.error": self.error,
            "fusion.converged": float(self.converged),
            "fusion.noise_free_share": self.noise_free_share,
            "fusion.least_trust": min(self.trust),
        }


def fused_graph(
    features: Mapping[str, Feature],
    config: FusionConfig,
    crew: Crew = ALONE,
    interactions: sparse.csr_array | None = None,
) -> Fusion:
    """Build the item graph of a domain from all its modalities.

    Neighbours by cosine in each modality, similarities of all modalities on the union of these links, then `fuse`.

    Args:
        features: Modality name to features of the same I items; noise comes back in this order.
        config: The settings.
        crew: Who works: on runs of rows while neighbours are found and pairs read, then on runs of entries. The graph
            does not depend on it.
        interactions: (U, I) zeros and ones of training, by which modalities are doubted (`trust_in_links`); without
            them all are trusted alike.

    Raises:
        DataError: There are no features, their numbers of items differ, or not one pair of items is similar.
        SolverError: See `fuse`.
    """
    if not features:
        raise DataError("no features", "at least one modality", "fusion of item similarities")
    counts = {name: len(feature.values) for name, feature in features.items()}
    if len(set(counts.values())) > 1:
        raise DataError(f"rows {counts}", "as many in each modality, one an item", "fusion of item similarities")
    # A row of zeros has no direction: it says as little of its item as a missing one.
    present = [feature.present & feature.values.any(axis=1) for feature in features.values()]
    points = [directions(feature.values, mask) for feature, mask in zip(features.values(), present, strict=True)]
    links = [nearest(x, config.neighbours, crew=crew) for x in points]
    trust = None
    if interactions is not None and config.doubt:
        trust = np.minimum(trust_in_links(links, interactions) / config.doubt, 1)
    support = union_support(links)
    similarities = [read_pairs(x, support, crew=crew) for x in points]
    del points
    return fuse(similarities, present, config, crew, trust)


def fuse(
    similarities: Sequence[sparse.csr_array],
    present: Sequence[np.ndarray],
    config: FusionConfig,
    crew: Crew = ALONE,
    trust: np.ndarray | None = None,
) -> Fusion:
    """Split similarities into a general one and sparse noise of each modality.

    Minimises `J(A, E) = sum_q t_q (||S_q - A - E_q||^2 + beta |E_q|_1) + mu ||A||^2` over A >= 0, entry by entry on the
    support, t_q the trust in modality q. Source: SIEOUG (arXiv 2502.16068), robust item similarity graph fusion.
    Derived form: the text names the sum of a general similarity and of noise with an L1 penalty, and gives no formula.
    Differs from the source: the trust is ours. With equal trust, two modalities and mu = 0 the plain mean is always
    among the minimisers, so the smallest minimiser is taken (the limit mu -> 0), `A = lo + min(hi - lo, beta) / 2`,
    with noise `max(hi - lo - beta, 0)` in the larger one: average what agrees within beta, else trust the lower; the
    noise of one modality then flattens the links of the other. With t_1 > t_2 the minimiser is one, and where they
    differ by more it stays within `beta t_2 / (2 t_1)` of the first: noise there is that of the less trusted.

    A modality abstains on pairs of which an item is absent from it: the sums run over the others. Where one modality
    is left, A is its similarity; with a single modality throughout, A = S.

    Args:
        similarities: One (I, I) a modality, symmetric, all with the same stored entries (`read_similarities`).
        present: One (I,) bool a modality.
        config: The settings.
        crew: Who works.
        trust: (Q,) weights of the modalities, at least 0; None for equal ones. A modality of trust 0 is not heard.

    Returns:
        The fused graph with its diagnostics. Memory and time are linear in the entries.

    Raises:
        DataError: The supports differ, masks do not fit, or no pair is seen by any modality.
        SolverError: Block coordinate descent ended with an error above `config.accept`.
    """
    support, seen, S = _aligned(similarities, present)
    if config.scale == "quantile":
        S = _one_distribution(S, seen)
    beta = config.beta * _median_of_positive(S[seen])
    trust = np.ones(len(S)) if trust is None else trust
    weights = seen * trust[:, None]
    A, E, objective, iterations, error = _solved(S, weights, beta, config, crew)
    E = np.where(np.abs(E) > _DUST * beta, E, 0)  # what came from another process is read-only
    general = _on(support, A)
    kept = strongest(general, config.neighbours)
    return Fusion(
        graph=symmetrically_normalised(kept.maximum(kept.T)),
        general=general,
        noise=tuple(_on(support, noise) for noise in E),
        beta=beta,
        objective=tuple(objective),
        iterations=iterations,
        trust=tuple(trust.tolist()),
        error=error,
        converged=error <= config.tolerance,
        noise_free_share=float((E == 0).all(axis=0)[seen.any(axis=0)].mean()),
    )


def _aligned(
    similarities: Sequence[sparse.csr_array], present: Sequence[np.ndarray]
) -> tuple[sparse.csr_array, np.ndarray, np.ndarray]:
    """Return the support, who sees which entry (Q, nnz) bool, and the similarities (Q, nnz) with 0 where unseen."""
    if not similarities or len(similarities) != len(present):
        raise DataError(f"{len(similarities)} similarities, {len(present)} masks", "one of each a modality", "fusion")
    support = similarities[0]
    for matrix in similarities:
        same = matrix.shape == support.shape == support.shape[::-1] and matrix.nnz == support.nnz
        if not same or (matrix.indptr != support.indptr).any() or (matrix.indices != support.indices).any():
            raise DataError("supports that differ", "square matrices with the same entries", "fusion")
    if any(mask.shape != (support.shape[0],) for mask in present):
        raise DataError(f"masks {[mask.shape for mask in present]}", f"({support.shape[0]},) each", "fusion")
    rows = np.repeat(np.arange(support.shape[0]), np.diff(support.indptr))
    seen = np.stack([mask[rows] & mask[support.indices] for mask in present])
    S = np.stack([matrix.data.astype(np.float64) for matrix in similarities]) * seen
    if not np.isfinite(S).all() or (S < 0).any():
        raise DataError("negative or non-finite similarities", "finite ones from 0 on", "fusion")
    return support, seen, S


def _median_of_positive(values: np.ndarray) -> float:
    positive = values[values > 0]
    if not len(positive):
        raise DataError(
            "no pair of items with a positive similarity",
            "at least one pair that a modality sees",
            "fusion of item similarities",
            "check that the features are not all missing or zero",
        )
    return float(np.median(positive))


def _one_distribution(S: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Give the positive similarities of all modalities their mean quantile function; zeros stay zero.

    Ranks within a modality are kept, ties stay ties, and what is alike already (or single) does not change.
    """
    parts = [seen[q] & (S[q] > 0) for q in range(len(S))]
    sorted_values = [np.sort(S[q][part]) for q, part in enumerate(parts) if part.any()]
    result = np.zeros_like(S)
    for q, part in enumerate(parts):
        levels = (stats.rankdata(S[q][part]) - 0.5) / max(1, int(part.sum()))
        curves = [np.interp(levels, (np.arange(len(x)) + 0.5) / len(x), x) for x in sorted_values]
        result[q, part] = sum(curves) / max(1, len(curves))
    return result


def _solved(
    S: np.ndarray, weights: np.ndarray, beta: float, config: FusionConfig, crew: Crew
) -> tuple[np.ndarray, np.ndarray, list[float], int, float]:
    """Have entries solved run by run, each for itself, and put the parts together; see `_solve`."""
    runs = pieces_for(crew, S.shape[1], _LEAST_ENTRIES)
    parts = crew.map(_solve_run, {"S": S, "weights": weights, "of": (beta, config)}, runs)
    # Runs that ended early stay at their last value.
    courses = [part[2] for part in parts]
    longest = max(map(len, courses))
    objective = [sum(course[min(step, len(course) - 1)] for course in courses) for step in range(longest)]
    A = np.concatenate([part[0] for part in parts])
    E = np.concatenate([part[1] for part in parts], axis=1)
    iterations, error = max(part[3] for part in parts), max(part[4] for part in parts)
    if error > config.accept:
        raise SolverError(
            f"an error of {error:.2g} after {iterations} sweeps",
            f"at most {config.accept:g}",
            "fusion by block coordinate descent",
            'raise max_sweeps or ridge, or use solver="closed_form"',
        )
    return A, E, objective, iterations, error


def _solve_run(shared: Shared, run: range) -> tuple[np.ndarray, np.ndarray, list[float], int, float]:
    beta, config = shared["of"]
    entries = slice(run.start, run.stop)
    return _solve(shared["S"][:, entries], shared["weights"][:, entries], beta, config)


def _solve(
    S: np.ndarray, weights: np.ndarray, beta: float, config: FusionConfig
) -> tuple[np.ndarray, np.ndarray, list[float], int, float]:
    """Return A (nnz,), E (Q, nnz), the objective's course, the iterations and the error."""
    if config.solver == "mean":
        A = _mean(S, weights)
        return A, np.zeros_like(S), [float((weights * (S - A) ** 2).sum())], 0, 0.0
    if config.solver == "closed_form":
        A = _smallest_minimiser(S, weights, beta)
        return A, _noise(S, weights, A, beta), [_objective(S, weights, A, beta, 0.0)], 0, 0.0
    A, objective, iterations, error = _descend(S, weights, beta, config)
    return A, _noise(S, weights, A, beta), objective, iterations, error


def _mean(S: np.ndarray, weights: np.ndarray) -> np.ndarray:
    mean: np.ndarray = (S * weights).sum(axis=0) / np.where(weights.any(axis=0), weights.sum(axis=0), 1)
    return mean


def _noise(S: np.ndarray, weights: np.ndarray, A: np.ndarray, beta: float) -> np.ndarray:
    """Shrink the residuals by beta / 2: the best noise for a given A."""
    residual = S - A
    noise: np.ndarray = np.sign(residual) * np.maximum(np.abs(residual) - beta / 2, 0) * (weights > 0)
    return noise


def _objective(S: np.ndarray, weights: np.ndarray, A: np.ndarray, beta: float, ridge: float) -> float:
    noise = _noise(S, weights, A, beta)
    return float((weights * ((S - A - noise) ** 2 + beta * np.abs(noise))).sum() + ridge * (A**2).sum())


def _smallest_minimiser(S: np.ndarray, weights: np.ndarray, beta: float) -> np.ndarray:
    """Find the smallest A that minimises the objective without ridge, exactly, for any number of modalities.

    With the best noise put in, half the derivative is `g(A) = sum_q t_q clip(A - S_q, -beta/2, beta/2)`, piecewise
    linear and rising, with kinks at S_q -/+ beta/2; the first zero lies between the last kink where g < 0 and the next.
    """
    half = beta / 2
    seen = weights > 0
    last = np.where(seen, S, 0).max(axis=0) + half  # unseen modalities add nothing but a repetition of the last kink
    kinks = np.sort(np.concatenate([np.where(seen, S - half, last), np.where(seen, S + half, last)]), axis=0)
    slopes = np.stack([(np.clip(kink - S, -half, half) * weights).sum(axis=0) for kink in kinks])
    # Rounding must not carry a flat stretch of zeros below zero: the minimiser would jump to the stretch's far end.
    first = np.argmax(slopes >= -_DUST * beta, axis=0)
    column = np.arange(S.shape[1])
    before = np.maximum(first - 1, 0)
    low, high = kinks[before, column], kinks[first, column]
    g_low, g_high = slopes[before, column], np.maximum(slopes[first, column], 0)
    A = low + (high - low) * (-g_low / np.where(g_high > g_low, g_high - g_low, 1))
    return np.where(weights.any(axis=0), np.maximum(A, 0), 0)


def _descend(
    S: np.ndarray, weights: np.ndarray, beta: float, config: FusionConfig
) -> tuple[np.ndarray, list[float], int, float]:
    """Alternate between the noise and A, from the mean on, leaving entries that are within the tolerance."""
    A = _mean(S, weights)
    objective = [_objective(S, weights, A, beta, config.ridge)]
    error = _error(S, weights, A, beta, config.ridge)
    sweeps = 0
    while error.max(initial=0) > config.tolerance and sweeps < config.max_sweeps:
        active = np.flatnonzero(error > config.tolerance)
        part, weight, a = S[:, active], weights[:, active], A[active]
        for _ in range(min(_CHECK_EVERY, config.max_sweeps - sweeps)):
            noise = _noise(part, weight, a, beta)
            a = np.maximum((weight * (part - noise)).sum(axis=0) / (weight.sum(axis=0) + config.ridge), 0)
            sweeps += 1
        A[active] = a
        error[active] = _error(part, weight, a, beta, config.ridge)
        objective.append(_objective(S, weights, A, beta, config.ridge))
    return A, objective, sweeps, float(error.max(initial=0))


def _error(S: np.ndarray, weights: np.ndarray, A: np.ndarray, beta: float, ridge: float) -> np.ndarray:
    """Bound |A - minimiser|: the objective is strongly convex, so it is at most |derivative| / (2 mu)."""
    half_derivative = (np.clip(A - S, -beta / 2, beta / 2) * weights).sum(axis=0) + ridge * A
    at_bound = (A == 0) & (half_derivative > 0)
    return np.where(at_bound, 0, np.abs(half_derivative) / ridge)


def _on(support: sparse.csr_array, entries: np.ndarray) -> sparse.csr_array:
    matrix = sparse.csr_array((entries.astype(np.float32), support.indices, support.indptr), shape=support.shape)
    matrix = matrix.copy()  # the support's arrays are shared by all modalities
    matrix.eliminate_zeros()
    return matrix
