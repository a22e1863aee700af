"""How good a matching is, seen on known pairs that were hidden from it, and the settings chosen by that."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch

from raymm.config import check, setting
from raymm.errors import ConfigError, SolverError
from raymm.transport.bilinear import Bilinear
from raymm.transport.population import PopulationConfig, check_pairs, population_cost
from raymm.transport.problem import state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import solve_streaming

_ROWS = 512
_FEWEST_PAIRS = 8  # fewer leave nothing to learn from once half are hidden


@dataclass(frozen=True)
class QualityConfig:
    """What is tried on hidden pairs."""

    hidden: float = setting(0.5, "Share of the known pairs that is hidden.", gt=0, lt=1)
    most_users: int = setting(3000, "Users of each side that are matched in a trial, hidden ones first.", ge=10)
    relations: tuple[str, ...] = setting(("profile", "hellinger"), "Forms of the relation that are tried.")
    omegas: tuple[float, ...] = setting((0.0, 0.5, 1.0), "Shares of the distance that are tried.", ge=0, le=1)
    relaxations: tuple[float, ...] = setting((0.02, 0.05, 0.1), "Weights rho that are tried.", gt=0)
    balanced: bool = setting(True, "Whether balanced marginals are tried, beside relaxed ones.")
    epsilons: tuple[float, ...] = setting((0.02, 0.05), "Entropic weights that are tried.", gt=0)
    max_iterations: int = setting(100, "Iterations of one trial at most.", ge=1)

    def __post_init__(self) -> None:
        """Check the ranges, and that there is something to try."""
        check(self)
        if not self.trials:
            raise ConfigError("nothing to try", "a relation, an omega, an epsilon and a marginal", "QualityConfig")

    @property
    def trials(self) -> int:
        """Number of plans that are tried; the distance alone (omega 1) has no relation to vary."""
        ways = sum(min(1, len(self.relations)) if omega == 1.0 else len(self.relations) for omega in self.omegas)
        return ways * len(self.epsilons) * (len(self.relaxations) + self.balanced)


@dataclass(frozen=True)
class Quality:
    """How far up the true counterpart of a hidden user stands in a ranking of all candidates.

    Attributes:
        method: What ranked.
        hit_at_1: Share of hidden users whose counterpart is first.
        hit_at_10: Share whose counterpart is among the first ten.
        mrr: Mean reciprocal rank.
        users: Hidden users.
        candidates: Target users that were ranked for each.
    """

    method: str
    hit_at_1: float
    hit_at_10: float
    mrr: float
    users: int
    candidates: int


@dataclass(frozen=True, eq=False)
class Trial:
    """One split of the known pairs.

    Attributes:
        shown: (s, 2) int64 pairs that guide the matching.
        rows: (r,) int64 source users that are matched, the hidden ones first.
        columns: (c,) int64 target users that are matched, the hidden ones first, in the same order.
        n_hidden: Hidden pairs.
    """

    shown: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor
    n_hidden: int


def hide_pairs(pairs: torch.Tensor, n: int, m: int, config: QualityConfig, generator: torch.Generator) -> Trial:
    """Hide some known pairs, and draw the other users among whom they have to be found.

    Raises:
        SolverError: Too few pairs, or pairs that cannot be used.
    """
    check_pairs(pairs, n, m)
    if len(pairs) < _FEWEST_PAIRS:
        raise SolverError(
            f"{len(pairs)} known pairs",
            f"at least {_FEWEST_PAIRS}",
            "quality on hidden pairs",
            "keep the default settings: there is too little to choose by",
        )
    order = _shuffled(len(pairs), generator, pairs.device)
    n_hidden = min(max(2, int(config.hidden * len(pairs))), len(pairs) - 2, config.most_users)
    hidden, shown = pairs[order[:n_hidden]], pairs[order[n_hidden:]]
    sides = []
    for side, size in ((0, n), (1, m)):
        free = torch.ones(size, dtype=torch.bool, device=pairs.device)
        free[pairs[:, side]] = False
        others = torch.nonzero(free)[:, 0]
        drawn = others[_shuffled(len(others), generator, pairs.device)[: config.most_users - n_hidden]]
        sides.append(torch.cat([hidden[:, side], drawn]))
    return Trial(shown, sides[0], sides[1], n_hidden)


def ranks(cost: Bilinear, bias: torch.Tensor, n_hidden: int) -> torch.Tensor:
    """Rank the counterpart of each hidden user: row i's is column i, best is 1, ties count half.

    Args:
        cost: Between the users of a trial.
        bias: (m,) float64 added to -cost: zeros for the nearest neighbour; g + epsilon log b for a plan, whose rows
            are ordered by just that.
        n_hidden: Rows to rank.

    Returns:
        (n_hidden,) float64.
    """
    device = cost.source.device
    found = torch.empty(n_hidden, dtype=torch.float64, device=device)
    every = torch.arange(cost.m, device=device)
    for start in range(0, n_hidden, _ROWS):
        own = torch.arange(start, min(start + _ROWS, n_hidden), device=device)
        scores = bias - cost.take(own, every).dense()
        truth = scores[own - start, own][:, None]
        above, equal = (scores > truth).sum(dim=1).double(), (scores == truth).sum(dim=1).double()
        found[own] = 1.0 + above + 0.5 * (equal - 1.0)
    return found


def quality_of(method: str, found: torch.Tensor, candidates: int) -> Quality:
    """Sum up the ranks of a method."""
    hits = [float((found <= k).double().mean()) for k in (1, 10)]
    return Quality(method, hits[0], hits[1], float((1.0 / found).mean()), len(found), candidates)


def baselines(source: torch.Tensor, target: torch.Tensor, trial: Trial, config: PopulationConfig) -> list[Quality]:
    """Rank by chance, and by the nearest neighbour under each cost: cosine, Procrustes, profile, Hellinger."""
    m = len(trial.columns)
    device = source.device
    harmonic = float((1.0 / torch.arange(1, m + 1, dtype=torch.float64, device=device)).sum())
    rows = [Quality("random", 1.0 / m, min(1.0, 10.0 / m), harmonic / m, trial.n_hidden, m)]
    alone = replace(config, omega=1.0)
    ways = {
        "cosine": replace(alone, align=False),
        "procrustes": replace(alone, align=True),
        "profile": replace(config, omega=0.0, relation="profile"),
        "hellinger": replace(config, omega=0.0, relation="hellinger"),
    }
    if source.shape[1] != target.shape[1]:
        del ways["cosine"]
    for name, way in ways.items():
        cost = population_cost(source, target, trial.shown, way).take(trial.rows, trial.columns)
        nearest = ranks(cost, torch.zeros(m, dtype=torch.float64, device=device), trial.n_hidden)
        rows.append(quality_of(f"nearest by {name}", nearest, m))
    return rows


def choose_on_hidden(
    source: torch.Tensor,
    target: torch.Tensor,
    pairs: torch.Tensor,
    config: PopulationConfig,
    quality: QualityConfig,
    generator: torch.Generator,
    tell: Callable[[Quality, int], None] | None = None,
) -> tuple[PopulationConfig, list[Quality]]:
    """Try relations, mixtures, epsilon and marginals on hidden pairs; return the best settings and all figures.

    Each plan is compared with the nearest neighbour under its own cost, with the other baselines, and balanced with
    relaxed marginals. The best is the one of the highest mean reciprocal rank.

    Args:
        source: (n, d) embeddings.
        target: (m, d') embeddings.
        pairs: (q, 2) int64 known pairs, at least 8.
        config: Settings to start from; what is not tried is kept.
        quality: What is tried.
        generator: Hides pairs and draws the other users.
        tell: Called after each plan, with its figures and the number of plans tried so far.

    Raises:
        SolverError: Bad embeddings or pairs, or too few pairs.
    """
    trial = hide_pairs(pairs, len(source), len(target), quality, generator)
    rows = baselines(source, target, trial, config)
    best, best_mrr, count = config, -1.0, 0
    for way in _ways(config, quality):
        cost = population_cost(source, target, trial.shown, way).take(trial.rows, trial.columns)
        for tried in _weights(way, quality):
            found = _tried(cost, tried, trial, quality)
            rows.append(found)
            count += 1
            if tell:
                tell(found, count)
            if found.mrr > best_mrr:
                best, best_mrr = tried, found.mrr
    return best, rows


def _shuffled(size: int, generator: torch.Generator, device: torch.device) -> torch.Tensor:
    return torch.randperm(size, generator=generator, device=generator.device).to(device)


def _tried(cost: Bilinear, config: PopulationConfig, trial: Trial, quality: QualityConfig) -> Quality:
    problem = state_problem(cost, None, None, config.epsilon, config.rho)
    # A balanced plan that is not quite balanced ranks no worse: what counts here is the order within rows.
    solver = SolverConfig(tolerance=1e-3, accept=1e9, max_iterations=quality.max_iterations)
    end = solve_streaming(problem, solver)
    found = ranks(cost, end.g + config.epsilon * problem.b.log(), trial.n_hidden)
    marginals = "balanced" if math.isinf(config.rho) else f"rho {config.rho:g}"
    name = f"{config.relation}, omega {config.omega:g}, epsilon {config.epsilon:g}, {marginals}"
    return quality_of(name, found, cost.m)


def _ways(config: PopulationConfig, quality: QualityConfig) -> Iterator[PopulationConfig]:
    for omega in quality.omegas:
        for relation in quality.relations[:1] if omega == 1.0 else quality.relations:
            if relation not in ("profile", "hellinger"):
                raise SolverError(f"relation {relation!r}", "profile or hellinger", "QualityConfig.relations")
            yield replace(config, omega=omega, relation=relation)  # type: ignore[arg-type]


def _weights(config: PopulationConfig, quality: QualityConfig) -> Iterator[PopulationConfig]:
    for epsilon in quality.epsilons:
        for rho in quality.relaxations:
            yield replace(config, epsilon=epsilon, marginals="relaxed", relaxation=rho)
        if quality.balanced:
            yield replace(config, epsilon=epsilon, marginals="balanced")
