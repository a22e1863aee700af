"""Matching of one batch of users of two domains, guided by the pairs that are known."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import torch

from raymm.config import check, setting
from raymm.errors import SolverError
from raymm.transport import sinkhorn
from raymm.transport.cost import Relation, Scale, add_mask, cosine_distance, relation_cost, scaled
from raymm.transport.marginals import Marginals, anchored
from raymm.transport.sinkhorn import Solution, SolverConfig

_FEWEST_ANCHORS = 2  # the relation to a single known pair says the same of everybody


@dataclass(frozen=True)
class MatchConfig:
    """The matching problem of one batch.

    The defaults suit domains that share only part of their users, in spaces that need not be aligned: the relation to
    the known pairs alone, known pairs fixed, marginals relaxed. `PAPER` holds the values derived for SIEOUG.
    """

    epsilon: float = setting(0.02, "Entropic weight, in the unit of the cost; larger spreads a user over more.", gt=0)
    mask: Literal["hard", "soft"] = setting(
        "hard", "Known pairs: fixed and taken out of the problem, or penalised in the cost, where they leak."
    )
    mask_weight: float = setting(10.0, "Penalty of a wrong partner under the soft mask; 100 epsilon or more.", ge=0)
    omega: float = setting(
        0.0,
        "Share of the distance in the cost, the rest is relation; raw distance harms in unaligned spaces.",
        ge=0,
        le=1,
    )
    relation: Relation = setting("profile", "How closeness to the known pairs is compared.")
    relation_temperature: float = setting(0.1, "Softmax temperature of the js and hellinger relations.", gt=0)
    scale: Scale = setting(
        "fixed", "Natural unit of the cost, or each part divided by its maximum (which makes epsilon data dependent)."
    )
    marginals: Literal["relaxed", "balanced"] = setting(
        "relaxed", "Relaxed lets users without a counterpart go unmatched; balanced forces them onto somebody."
    )
    relaxation: float = setting(0.05, "Weight rho of the KL penalty of relaxed marginals, unit of the cost.", gt=0)
    max_anchors: int = setting(256, "Known pairs used in the relation, evenly spaced over the given ones.", ge=2)
    solver: SolverConfig = setting(SolverConfig, "Tolerances and acceleration.")

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)


PAPER = MatchConfig(
    epsilon=0.05,
    mask="soft",
    mask_weight=10.0,
    omega=0.5,
    relation="js",
    relation_temperature=0.1,
    scale="maximum",
    marginals="balanced",
)
"""The values derived for SIEOUG (arXiv 2502.16068): balanced, soft mask, half distance and half Jensen-Shannon."""


@dataclass(frozen=True, eq=False)
class Match:
    """A plan between the users of a batch, without gradient.

    Attributes:
        plan: (n, m) float32 masses. Relaxed plans move less than 1 in all: use `rows` or `columns` to rank or weigh.
        rows: (n, m) float32, the plan with each row brought to sum 1; zero rows for users that take no part.
        columns: (n, m) float32, the plan with each column brought to sum 1, likewise.
        f: (n,) float64 source potentials; plan = a_i b_j exp((f_i + g_j - cost) / epsilon) where it is not masked.
        g: (m,) float64 target potentials; a good start for the next match of the same users.
        marginals: The masses that were asked for.
        error: L1 error of the columns relative to the mass moved; rows are exact.
        iterations: Iterations spent.
        converged: The error is within the solver's tolerance.
        leaked: Share of the known users' mass that went to a wrong partner; 0 under the hard mask.
        effective_partners: (n,) float32, exp of the entropy of each row: how many partners a user is spread over.
        relation_used: False where fewer than two pairs are known, or omega is 1: distance alone decided.
    """

    plan: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    f: torch.Tensor
    g: torch.Tensor
    marginals: Marginals = field(repr=False)
    error: float
    iterations: int
    converged: bool
    leaked: float
    effective_partners: torch.Tensor
    relation_used: bool


def match(
    source: torch.Tensor,
    target: torch.Tensor,
    n_shared: int,
    config: MatchConfig | None = None,
    start: torch.Tensor | None = None,
) -> Match:
    """Match the users of two domains, given that the first `n_shared` of both sides are known pairs, in order.

    The cost is omega (1 - cos) + (1 - omega) relation, plus mask_weight (1 - M) under the soft mask. With fewer than
    two known pairs there is no relation, and distance alone decides (`Match.relation_used` says so).

    No gradient flows through the result.

    Source: SIEOUG (arXiv 2502.16068), guidance-based optimal user matching; its cost is filled in after
    keypoint-guided transport (KPG-RL, NeurIPS 2022), as the formulas could not be read.

    Differs from the source: the defaults of `MatchConfig`; pass `PAPER` for the derived original.

    Args:
        source: (n, d) embeddings, finite; a zero row is at distance 1 from everybody.
        target: (m, d') embeddings; d' may differ from d when only the relation is used.
        n_shared: Known pairs, from 0 to min(n, m).
        config: The problem; the defaults where left out.
        start: (m,) potentials g of an earlier match of the same target users.

    Raises:
        SolverError: NaN or infinite embeddings, an empty side, unequal dimensions where distance is used, or no
            convergence to `config.solver.accept`.
    """
    config = config or MatchConfig()
    with torch.no_grad(), torch.autocast(source.device.type, enabled=False):
        _check_points(source, target)
        masses = anchored(len(source), len(target), n_shared, source.device)
        cost, relation_used = _blended(_real(source), _real(target), n_shared, config)
        if config.mask == "hard" and n_shared:
            solution, log_plan = _hard(cost.double(), masses, n_shared, config, start)
        else:
            cost = add_mask(cost.double(), n_shared, config.mask_weight)
            solution, log_plan = _solved(cost, masses.a, masses.b, config, start)
        return _result(solution, log_plan, masses, n_shared, relation_used)


def evenly_spaced(n_shared: int, most: int, device: torch.device | None = None) -> torch.Tensor:
    """Return at most `most` positions of 0..n_shared-1, evenly spaced: (k,) int64."""
    count = min(n_shared, most)
    return torch.arange(count, device=device) * n_shared // max(1, count)


def _blended(
    source: torch.Tensor, target: torch.Tensor, n_shared: int, config: MatchConfig
) -> tuple[torch.Tensor, bool]:
    omega = config.omega if n_shared >= _FEWEST_ANCHORS else 1.0
    if omega > 0 and source.shape[1] != target.shape[1]:
        raise SolverError(
            f"embeddings of {source.shape[1]} and {target.shape[1]} columns, {n_shared} known pairs, omega {omega:g}",
            "equal numbers of columns where distances between the sides are used",
            "matching",
            "set omega to 0 and give at least two known pairs, or project both sides to one dimension",
        )
    if omega == 1.0:
        return scaled(cosine_distance(source, target), config.scale), False
    anchors = evenly_spaced(n_shared, config.max_anchors, source.device)
    relation = relation_cost(source, target, anchors, config.relation, config.relation_temperature, config.scale)
    cost = scaled(relation, config.scale).mul_(1.0 - omega)
    if omega > 0:
        cost.add_(scaled(cosine_distance(source, target), config.scale), alpha=omega)
    return cost, True


def _hard(
    cost: torch.Tensor, masses: Marginals, n_shared: int, config: MatchConfig, start: torch.Tensor | None
) -> tuple[Solution, torch.Tensor]:
    """Fix the known pairs at their mass and solve for the others only."""
    log_plan = cost.new_full(cost.shape, -math.inf)
    log_plan.diagonal()[:n_shared] = math.log(masses.shared_mass)
    # Potentials that say the same of the known pairs: a_i b_i exp((f_i + g_i - C_ii) / epsilon) = w0.
    half = 0.5 * (cost.diagonal()[:n_shared] - config.epsilon * math.log(masses.shared_mass))
    f, g = torch.zeros_like(masses.a), torch.zeros_like(masses.b)
    f[:n_shared], g[:n_shared] = half, half
    a, b = masses.a[n_shared:], masses.b[n_shared:]
    if not (len(a) and len(b) and float(a[0]) > 0 and float(b[0]) > 0):
        return Solution(f, g, 0.0, 0, True), log_plan
    rest, log_rest = _solved(cost[n_shared:, n_shared:], a, b, config, None if start is None else start[n_shared:])
    f[n_shared:], g[n_shared:] = rest.f, rest.g
    log_plan[n_shared:, n_shared:] = log_rest
    return Solution(f, g, rest.error, rest.iterations, rest.converged), log_plan


def _solved(
    cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, config: MatchConfig, start: torch.Tensor | None
) -> tuple[Solution, torch.Tensor]:
    rho = config.relaxation if config.marginals == "relaxed" else math.inf
    solution = sinkhorn.solve(cost, a, b, config.epsilon, (rho, rho), config.solver, start)
    log_plan = (solution.f[:, None] - cost).add_(solution.g[None, :]).mul_(1.0 / config.epsilon)
    return solution, log_plan.add_(a.log()[:, None]).add_(b.log()[None, :])


def _result(solution: Solution, log_plan: torch.Tensor, masses: Marginals, n_shared: int, relation_used: bool) -> Match:
    plan = log_plan.exp()
    rows, columns = _conditional(log_plan, 1), _conditional(log_plan, 0)
    leaked = 0.0
    if n_shared:
        kept = float(plan.diagonal()[:n_shared].sum())
        held = 0.5 * float(plan[:n_shared].sum() + plan[:, :n_shared].sum())
        leaked = max(0.0, 1.0 - kept / held) if held > 0 else 0.0
    return Match(
        plan=plan.float(),
        rows=rows,
        columns=columns,
        f=solution.f,
        g=solution.g,
        marginals=masses,
        error=solution.error,
        iterations=solution.iterations,
        converged=solution.converged,
        leaked=leaked,
        effective_partners=torch.special.entr(rows).sum(dim=1).exp(),
        relation_used=relation_used,
    )


def _conditional(log_plan: torch.Tensor, dim: int) -> torch.Tensor:
    """Bring rows or columns to sum 1 in the log domain (a relaxed mass may underflow); lines without mass stay zero."""
    top = log_plan.amax(dim=dim, keepdim=True)
    weights = (log_plan - torch.where(torch.isfinite(top), top, torch.zeros_like(top))).exp_()
    total = weights.sum(dim=dim, keepdim=True)
    return weights.div_(torch.where(total > 0, total, torch.ones_like(total))).float()


def _real(points: torch.Tensor) -> torch.Tensor:
    return points if points.dtype in (torch.float32, torch.float64) else points.float()


def _check_points(source: torch.Tensor, target: torch.Tensor) -> None:
    for points, side in ((source, "source"), (target, "target")):
        if points.ndim != 2 or not points.numel():
            raise SolverError(
                f"{side} embeddings of shape {tuple(points.shape)}", "(users, columns), not empty", "matching"
            )
        if not bool(torch.isfinite(points).all()):
            row = int((~torch.isfinite(points)).any(dim=1).nonzero()[0])
            raise SolverError(
                f"NaN or infinity in {side} embedding {row}",
                "finite embeddings",
                "matching",
                "look for a diverged loss or a missing feature",
            )
