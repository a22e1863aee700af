"""Regularised assignment of rows to clusters of equal size, by a dual problem in one number a cluster."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import optimize, special

Regulariser = Literal["l2", "entropy"]
Total = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, eq=False)
class Assignment:
    """A plan between rows and clusters.

    Attributes:
        plan: (N, K) float64, non-negative, rows summing to one.
        potentials: (K,) the dual variables, to start a similar problem from.
        column_error: Largest difference of a column sum from its target, as a share of the target.
        evaluations: Evaluations of the dual.
    """

    plan: np.ndarray
    potentials: np.ndarray
    column_error: float
    evaluations: int


def simplex_rows(scores: np.ndarray) -> np.ndarray:
    """Project each row of (N, K) scores onto the probability simplex, exactly (by sorting); rows sum to one."""
    return np.ascontiguousarray(_simplex(np.ascontiguousarray(scores.T)).T)


def penalty(plan: np.ndarray, regulariser: Regulariser) -> float:
    """Return `||plan||^2 / 2`, or the negative entropy `sum plan log plan / K` of an (N, K) plan.

    The division by K gives both the same curvature at the uniform plan, so that one weight means the same for both.
    """
    return float((plan**2).sum() / 2 if regulariser == "l2" else special.xlogy(plan, plan).sum() / plan.shape[1])


def free_assignment(scores: np.ndarray, epsilon: float, regulariser: Regulariser) -> np.ndarray:
    """Maximise `<scores, plan> - epsilon penalty(plan)` over plans whose rows sum to one, columns being free."""
    rows, _ = _best_rows(np.ascontiguousarray(scores.T), epsilon, regulariser)
    return np.ascontiguousarray(rows.T)


def balanced_assignment(
    scores: np.ndarray,
    epsilon: float,
    regulariser: Regulariser,
    potentials: np.ndarray,
    tolerance: float,
    max_evaluations: int,
    total: Total,
) -> Assignment:
    """Maximise `<scores, plan> - epsilon penalty(plan)` over plans with rows summing to one and equal column sums.

    For given potentials v the best rows are known (the projection of `(scores + v) / epsilon` onto the simplex, or the
    softmax of `K (scores + v) / epsilon`), so their sums are exact throughout. The dual is concave in v, with the
    columns' lack as its gradient, and is climbed by L-BFGS (Liu, Nocedal 1989). Source: smooth semi-dual of regularised
    transport, Blondel, Seguy, Rolet (arXiv 1710.06276), section 3.

    Args:
        scores: (N, K) of the rows held here.
        epsilon: Weight of the penalty, above 0.
        regulariser: `l2` for sparse plans, `entropy` for dense ones.
        potentials: (K,) to start from.
        tolerance: Stop at this column error.
        max_evaluations: Most evaluations of the dual; 0 leaves the columns as the potentials make them.
        total: Sums an array over all holders of rows; a (K + 2,) array an evaluation is all that they exchange, and
            all take the same steps.

    Returns:
        The plan of the rows held here; its column error is that of all rows and may exceed the tolerance.
    """
    scores = np.ascontiguousarray(scores.T)  # (K, N): long inner loops

    def sums(v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rows, values = _best_rows(scores + v[:, None], epsilon, regulariser)
        return rows, total(np.concatenate([rows.sum(axis=1), [values.sum(), rows.shape[1]]]))

    def dual(v: np.ndarray) -> tuple[float, np.ndarray]:
        _, summed = sums(v)
        target = summed[-1] / len(v)
        return float(summed[-2] / target - v.sum()), summed[:-2] / target - 1  # in shares of the target

    evaluations = 0
    if max_evaluations:
        options = {"gtol": tolerance, "ftol": 0.0, "maxfun": max_evaluations, "maxiter": max_evaluations}
        found = optimize.minimize(dual, potentials, jac=True, method="L-BFGS-B", options=options)
        potentials, evaluations = found.x, int(found.nfev)
    rows, summed = sums(potentials)
    error = np.abs(summed[:-2] / (summed[-1] / len(potentials)) - 1).max()
    return Assignment(np.ascontiguousarray(rows.T), potentials, float(error), evaluations)


def _best_rows(scores: np.ndarray, epsilon: float, regulariser: Regulariser) -> tuple[np.ndarray, np.ndarray]:
    """Return, for scores (K, N), the best plan (K, N) and the value (N,) of each of its columns."""
    if regulariser == "entropy":
        temperature = epsilon / len(scores)
        largest = scores.max(axis=0)
        rows = np.exp((scores - largest) / temperature)
        sums = rows.sum(axis=0)
        return rows / sums, temperature * np.log(sums) + largest
    scaled = scores / epsilon
    rows = _simplex(scaled)
    return rows, epsilon * ((scaled - rows / 2) * rows).sum(axis=0)


def _simplex(scores: np.ndarray) -> np.ndarray:
    """Project each column of (K, N) onto the simplex: subtract the threshold that leaves a sum of one above zero.

    Source: Held, Wolfe, Crowder (1974), Validation of subgradient optimization.
    """
    scores = scores - scores.max(axis=0)  # the same projection, and safe for scores of any size
    descending = np.sort(scores, axis=0)[::-1]
    excess = np.cumsum(descending, axis=0) - 1
    counts = np.arange(1, len(scores) + 1)[:, None]
    support = (descending * counts > excess).sum(axis=0)
    threshold = excess[support - 1, np.arange(scores.shape[1])] / support
    projected: np.ndarray = np.maximum(scores - threshold, 0)
    return projected
