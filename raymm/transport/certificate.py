"""How far a plan is from the optimum: an upper bound, a lower bound, and what their distance says."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from raymm.transport import sinkhorn
from raymm.transport.cells import Cells
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.sweep import RowSweep

_ROUNDING = 1e-6  # share of the value (or of epsilon) that float32 blocks with float64 sums may be wrong by
_CONFIDENCE_ERRORS = 3.0  # standard errors below the mean: 99.9 % one-sided for a mean of thousands


@dataclass(frozen=True)
class Certificate:
    """What is known of a plan given by potentials and kept blocks; it does not speak of an exported top-k.

    All values are of <C, P> + epsilon KL(P | a x b) + rho (KL(P 1 | a) + KL(P^T 1 | b)), known pairs of a hard mask
    not counted. Adding a constant to the cost changes the relative gap and not the shift-invariant one.

    Attributes:
        upper: Value of a plan that exists (balanced: after rounding to the exact marginals).
        lower: Bound on the optimum.
        deterministic: The lower bound holds for sure; otherwise it does with confidence 99.9 % (rows were sampled).
        relative_gap: (upper - lower) / max(|lower|, epsilon): a cost below epsilon is not resolved.
        shift_invariant_gap: (upper - lower) / (reference - lower): the share of the possible gain that is missing.
        reference: Value of the independent plan a x b (balanced) or of no plan at all (relaxed).
        kl_bound: (upper - lower) / epsilon, which bounds KL(plan | optimal plan).
        l1_bound: sqrt(2 kl_bound), which bounds the L1 distance to the optimal plan; None for relaxed marginals.
        column_error: L1 error of the column sums before rounding, relative to the mass moved; rows are exact.
        leftover: Mass that rounding had to move.
        mass: Mass that the plan moves; 1 where balanced.
        missed_mass: Share of the full kernel's mass outside the kept blocks; None before it was measured.
        kept_pairs: Share of all pairs inside the kept blocks.
    """

    upper: float
    lower: float
    deterministic: bool
    relative_gap: float
    shift_invariant_gap: float
    reference: float
    kl_bound: float
    l1_bound: float | None
    column_error: float
    leftover: float
    mass: float
    missed_mass: float
    kept_pairs: float


@dataclass(frozen=True)
class Upper:
    """An upper bound and how it came about; fields as in `Certificate`."""

    value: float
    column_error: float
    leftover: float
    mass: float


@dataclass(frozen=True)
class Lower:
    """A lower bound and the share of mass that the kept blocks miss."""

    value: float
    deterministic: bool
    missed_mass: float


def upper_bound(
    problem: Problem, sweep: RowSweep, g: torch.Tensor, columns: torch.Tensor, cells: tuple[Cells, Cells]
) -> Upper:
    """Return the value of a plan near the one of the potentials that satisfies the constraints, without storing it.

    Balanced: columns are scaled down to b where they exceed it (still a Gibbs plan), one more pass gives the row sums,
    and what is left over (mass t) is coupled by blocks of cells, an entropic problem between cell means. By convexity
    the value is at most base - epsilon (1 - t) log(1 - t) + t F(coupling of the leftovers), all in closed form.
    Relaxed: every plan is feasible and its value is a sum over potentials.

    Source: rounding after Altschuler, Weed and Rigollet, "Near-linear time approximation algorithms for optimal
    transport via Sinkhorn iteration", NeurIPS 2017; the cell-wise leftover coupling is ours.

    Args:
        problem: Rows and columns in the order of `cells`.
        sweep: Holds f; rows are exact with g.
        g: (m,) the potentials at which the iteration ended.
        columns: (m,) column sums of the plan of f and g.
        cells: Of rows and columns.
    """
    f, epsilon = sweep.potentials(), problem.epsilon
    if not problem.balanced:
        rows = problem.a * torch.exp(-f / problem.rho)  # exact by the soft c-transform
        return _relaxed_value(problem, f, g, rows, columns)
    scaled = g + epsilon * (problem.b / columns).log().clamp_max(0.0)
    rows, columns_now = sweep.masses(scaled)
    base = float(f @ rows + scaled @ columns_now)
    left_rows, left_columns = (problem.a - rows).clamp_min(0.0), (problem.b - columns_now).clamp_min(0.0)
    t = float(0.5 * (left_rows.sum() + left_columns.sum()))
    error = float((columns - problem.b).abs().sum())
    if t <= 1e-12:
        return Upper(base, error, t, 1.0)
    extra = leftover_value(problem, left_rows / left_rows.sum(), left_columns / left_columns.sum(), cells)
    value = base - epsilon * (1.0 - t) * math.log(1.0 - t) + t * extra
    return Upper(value, error, t, 1.0)


def leftover_value(problem: Problem, p: torch.Tensor, q: torch.Tensor, cells: tuple[Cells, Cells]) -> float:
    """Return <C, Q> + epsilon KL(Q | a x b) of a coupling Q of p and q that is a product inside each pair of cells.

    Q = sum over cells r, s of M[r, s] p_r x q_s with p_r, q_s the normalised parts; M is the entropic optimum between
    the cells' means, rounded to its marginals. It takes O((n + m) k + P Q) and is exact for costs that are bilinear.
    """
    cost = problem.cost
    sides = []
    for mass, points, offset, own in (
        (p, cost.source, cost.source_offset, cells[0]),
        (q, cost.target, cost.target_offset, cells[1]),
    ):
        sums = torch.zeros(own.count, dtype=torch.float64, device=p.device).index_add_(0, own.of_position, mass)
        share = mass / sums[own.of_position].clamp_min(1e-300)
        means = torch.zeros(own.count, points.shape[1], dtype=torch.float64, device=p.device)
        means.index_add_(0, own.of_position, share[:, None] * points.double())
        offsets = torch.zeros_like(sums).index_add_(0, own.of_position, share * offset)
        sides.append((sums, means, offsets))
    (rows, x, u), (columns, y, v) = sides
    coarse = u[:, None] + v - x @ y.T
    coupling = _coarse_coupling(coarse, rows, columns, problem.epsilon)
    entropy = torch.special.xlogy(coupling, coupling / (rows[:, None] * columns).clamp_min(1e-300)).sum()
    inside = torch.special.xlogy(p, p / problem.a).sum() + torch.special.xlogy(q, q / problem.b).sum()
    return float((coupling * coarse).sum() + problem.epsilon * (entropy + inside))


def lower_bound(problem: Problem, f: torch.Tensor, g: torch.Tensor, local: torch.Tensor) -> Lower:
    """Return the dual value at g, with f the exact soft c-transform of g over ALL columns.

    Source: weak duality; Peyré and Cuturi 2019, proposition 4.4, relaxed form Chizat et al. 2018.

    Args:
        problem: The problem.
        f: (n,) from a pass over all columns.
        g: (m,) the potentials.
        local: (n,) f over the kept blocks, for the share of mass that they miss.
    """
    value = float(_row_terms(problem, f, problem.a).sum()) + _column_terms(problem, g)
    return Lower(value, True, _missed(problem, f, local, problem.a))


def sampled_lower_bound(
    problem: Problem, f: torch.Tensor, chosen: torch.Tensor, g: torch.Tensor, local: torch.Tensor
) -> Lower:
    """Estimate `lower_bound` from some rows, the local f as control variate; less three standard errors.

    Args:
        problem: The problem.
        f: (R,) exact soft c-transform of the chosen rows.
        chosen: (R,) rows drawn uniformly without replacement.
        g: (m,) the potentials.
        local: (n,) f of all rows over the kept blocks.
    """
    a = problem.a[chosen]
    differences = _row_terms(problem, f, a) - _row_terms(problem, local[chosen], a)
    n, count = len(local), len(chosen)
    spread = float(differences.std()) * math.sqrt(max(0.0, 1.0 - count / n) / count) if count > 1 else math.inf
    value = float(_row_terms(problem, local, problem.a).sum()) + _column_terms(problem, g)
    value += n * (float(differences.mean()) - _CONFIDENCE_ERRORS * spread)
    return Lower(value, False, _missed(problem, f, local[chosen], a / a.sum()))


def certify(problem: Problem, upper: Upper, lower: Lower, kept_pairs: float) -> Certificate:
    """Bring both bounds together; the rounding of the arithmetic is added to the upper one."""
    rounding = _ROUNDING * max(abs(upper.value), problem.epsilon)
    top = upper.value + rounding
    gap = max(0.0, top - lower.value)
    reference = problem.cost.mean(problem.a, problem.b) if problem.balanced else problem.epsilon + 2.0 * problem.rho
    possible = reference - lower.value
    kl = gap / problem.epsilon
    return Certificate(
        upper=top,
        lower=lower.value,
        deterministic=lower.deterministic,
        relative_gap=gap / max(abs(lower.value), problem.epsilon),
        # Where nothing can be gained (all points equal) and the gap is rounding only, nothing is missing.
        shift_invariant_gap=gap / possible if possible > 10.0 * rounding else 0.0,
        reference=reference,
        kl_bound=kl,
        l1_bound=math.sqrt(2.0 * kl) if problem.balanced else None,
        column_error=upper.column_error,
        leftover=upper.leftover,
        mass=upper.mass,
        missed_mass=lower.missed_mass,
        kept_pairs=kept_pairs,
    )


def _relaxed_value(
    problem: Problem, f: torch.Tensor, g: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor
) -> Upper:
    mass, rho = float(rows.sum()), problem.rho
    value = float(f @ rows + g @ columns) - problem.epsilon * (mass - 1.0)
    for sums, wanted in ((rows, problem.a), (columns, problem.b)):
        value += rho * float(torch.special.xlogy(sums, sums / wanted).sum() - sums.sum() + wanted.sum())
    error = sinkhorn.column_error(columns, g, problem.b, rho)
    return Upper(value, error, 0.0, mass)


def _row_terms(problem: Problem, f: torch.Tensor, a: torch.Tensor) -> torch.Tensor:
    """Return each row's part of the dual value, the kernel's total mass included (rows are exact)."""
    if problem.balanced:
        return a * f
    falling = torch.exp(-f / problem.rho)
    return -problem.rho * a * (falling - 1.0) - problem.epsilon * a * (falling - 1.0)


def _column_terms(problem: Problem, g: torch.Tensor) -> float:
    if problem.balanced:
        return float(problem.b @ g)
    return float(-problem.rho * (problem.b * (torch.exp(-g / problem.rho) - 1.0)).sum())


def _missed(problem: Problem, f: torch.Tensor, local: torch.Tensor, weights: torch.Tensor) -> float:
    damped = sinkhorn.damping(problem.rho, problem.epsilon) * problem.epsilon
    return max(0.0, float(weights @ -torch.expm1((f - local) / damped)))


def _coarse_coupling(cost: torch.Tensor, p: torch.Tensor, q: torch.Tensor, epsilon: float) -> torch.Tensor:
    """Return a coupling of p and q near the entropic optimum, with exact marginals."""
    config = SolverConfig(tolerance=1e-3, accept=10.0, max_iterations=200)
    solution = sinkhorn.solve(cost, p, q / q.sum() * p.sum(), epsilon, config=config)
    plan = sinkhorn.plan(cost, p, q, solution.f, solution.g, epsilon)
    plan = plan * (p / plan.sum(dim=1).clamp_min(1e-300)).clamp_max(1.0)[:, None]
    plan = plan * (q / plan.sum(dim=0).clamp_min(1e-300)).clamp_max(1.0)
    left_p, left_q = (p - plan.sum(dim=1)).clamp_min(0.0), (q - plan.sum(dim=0)).clamp_min(0.0)
    total = float(left_p.sum())
    return plan + left_p[:, None] * left_q / total if total > 0 else plan
