"""Matching of two whole populations: known pairs fixed, the others matched by a certified plan."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Literal

import torch

from raymm.config import check, setting
from raymm.errors import SolverError
from raymm.transport import bilinear
from raymm.transport.bilinear import Bilinear
from raymm.transport.certificate import Certificate
from raymm.transport.checkpoint import Checkpoint
from raymm.transport.export import Partners, top_partners
from raymm.transport.fixed_point import Observer
from raymm.transport.guided import evenly_spaced
from raymm.transport.partitioned import PartitionConfig, PartitionedSolution, Runner, solve_partitioned
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sweep import LocalSweep


@dataclass(frozen=True)
class PopulationConfig:
    """What is matched by which cost, and how accurately."""

    epsilon: float = setting(0.02, "Entropic weight, in the unit of the cost (1 - cos).", gt=0)
    relation: Literal["profile", "hellinger"] = setting("profile", "How closeness to the known pairs is compared.")
    omega: float = setting(0.0, "Share of the distance in the cost; the rest is relation.", ge=0, le=1)
    align: bool = setting(True, "Turn the target space onto the source space by the known pairs before distances.")
    relation_temperature: float = setting(0.1, "Softmax temperature of the hellinger relation.", gt=0)
    max_anchors: int = setting(256, "Known pairs that the hellinger relation uses, evenly spaced.", ge=2)
    marginals: Literal["relaxed", "balanced"] = setting(
        "relaxed", "Relaxed lets users without a counterpart go unmatched; balanced forces them onto somebody."
    )
    relaxation: float = setting(0.05, "Weight rho of the KL penalty of relaxed marginals, unit of the cost.", gt=0)
    precision: Literal["float32", "float64"] = setting(
        "float32", "Numbers that kernels are computed in; float64 costs twice as much, for an epsilon below 0.005."
    )
    top_k: int = setting(32, "Partners listed for each user.", ge=1)
    partition: PartitionConfig = setting(PartitionConfig, "How the problem is cut down.")

    def __post_init__(self) -> None:
        """Check the ranges."""
        check(self)

    @property
    def rho(self) -> float:
        """KL weight of both marginals; infinite for balanced ones."""
        return self.relaxation if self.marginals == "relaxed" else math.inf

    @property
    def blocks(self) -> torch.dtype:
        """Type that kernels are computed in."""
        return torch.float64 if self.precision == "float64" else torch.float32


@dataclass(frozen=True, eq=False)
class PopulationMatch:
    """Who is matched to whom.

    Attributes:
        partners: Of all n source users; a known user has his counterpart alone, with weight 1.
        rows: (r,) int64 source users that were not known, ascending: the rows of `problem`.
        columns: (c,) int64 target users that were not known, ascending.
        problem: What was solved, between `rows` and `columns`, each side of total mass 1.
        solution: Its potentials, kept blocks and certificate; None where one side has known users only.
    """

    partners: Partners
    rows: torch.Tensor
    columns: torch.Tensor
    problem: Problem | None
    solution: PartitionedSolution | None

    @property
    def certificate(self) -> Certificate | None:
        """How far the plan between unknown users is from the optimum; known pairs are fixed and leak nothing."""
        return None if self.solution is None else self.solution.certificate

    def report(self) -> dict[str, float | bool | None]:
        """Return every figure that says how far to trust the match, as plain data.

        Certificate figures are of the plan given by potentials and kept blocks. `listed_mass` is the mean share of a
        matched user's mass that his listed partners hold; the certificate does not speak of the lists.
        """
        known = len(self.partners.targets) - len(self.rows)
        facts: dict[str, float | bool | None] = {"known_pairs": known, "leaked_mass": 0.0}
        if self.solution is None:
            return facts
        facts |= asdict(self.solution.certificate)
        own = self.partners.effective[self.rows]
        levels = torch.tensor([0.1, 0.5, 0.9], dtype=own.dtype, device="cpu")
        thinned = own[:: max(1, len(own) // 1_000_000)].cpu()
        for level, value in zip(levels, torch.quantile(thinned, levels), strict=True):
            facts[f"effective_partners_p{int(100 * level)}"] = float(value)
        facts["listed_mass"] = float(self.partners.kept[self.rows].mean())
        facts |= {"iterations": self.solution.iterations, "reached_target_gap": self.solution.reached}
        return facts | {f"seconds.{stage}": value for stage, value in self.solution.seconds.items()}


def population_cost(
    source: torch.Tensor, target: torch.Tensor, pairs: torch.Tensor, config: PopulationConfig
) -> Bilinear:
    """Return omega (1 - cos) + (1 - omega) relation between all users, as an inner product.

    With fewer than two known pairs there is no relation and nothing to align by: only omega 1 without `align` will do.

    Args:
        source: (n, d) embeddings.
        target: (m, d') embeddings; d' may differ where the distance is aligned or not used.
        pairs: (q, 2) int64 rows of source and target that are the same user.
        config: Which cost.

    Raises:
        SolverError: Embeddings or pairs that cannot be used.
    """
    check_pairs(pairs, len(source), len(target))
    source, target = source.to(config.blocks), target.to(config.blocks)
    parts = []
    if config.omega > 0:
        distance = bilinear.procrustes(source, target, pairs) if config.align else bilinear.cosine(source, target)
        parts.append((config.omega, distance))
    if config.omega < 1 and config.relation == "profile":
        parts.append((1.0 - config.omega, bilinear.profile(source, target, pairs)))
    elif config.omega < 1:
        some = pairs[evenly_spaced(len(pairs), config.max_anchors, pairs.device)]
        relation = bilinear.hellinger_relation(source, target, some, config.relation_temperature)
        parts.append((1.0 - config.omega, relation))
    return bilinear.blend(parts)


def match_populations(
    source: torch.Tensor,
    target: torch.Tensor,
    pairs: torch.Tensor,
    config: PopulationConfig,
    generator: torch.Generator,
    runner: Runner = LocalSweep,
    observe: tuple[Checkpoint | None, Observer | None] = (None, None),
) -> PopulationMatch:
    """Match two populations of any size, given pairs that are known to be the same user.

    Known users are taken out (a hard mask) and guide the others through the cost.

    Args:
        source: (n, d) finite embeddings.
        target: (m, d') finite embeddings.
        pairs: (q, 2) int64, each user in one pair at most.
        config: Cost, marginals and accuracy.
        generator: Draws samples and first centres.
        runner: Who holds the rows.
        observe: Where to keep the state of the solve, and whom to tell after each iteration.

    Raises:
        SolverError: Bad embeddings or pairs, or no convergence.
    """
    cost = population_cost(source, target, pairs, config)
    rows, columns = _unknown(pairs[:, 0], len(source)), _unknown(pairs[:, 1], len(target))
    if not (len(rows) and len(columns)):
        return PopulationMatch(_merged(None, pairs, rows, columns, len(source)), rows, columns, None, None)
    problem = state_problem(cost.take(rows, columns), None, None, config.epsilon, config.rho)
    solution = solve_partitioned(problem, config.partition, generator, runner, *observe)
    listed = top_partners(problem, solution, config.top_k)
    return PopulationMatch(_merged(listed, pairs, rows, columns, len(source)), rows, columns, problem, solution)


def check_pairs(pairs: torch.Tensor, n: int, m: int) -> None:
    """Check that known pairs are rows of both sides and that no user is in two of them.

    Raises:
        SolverError: Wrong shape or type, a row that does not exist, or a user in two pairs.
    """
    if pairs.ndim != 2 or pairs.shape[1] != 2 or pairs.dtype != torch.int64:
        raise SolverError(f"known pairs {tuple(pairs.shape)} of {pairs.dtype}", "(pairs, 2) of int64", "known pairs")
    for side, (name, size) in enumerate((("source", n), ("target", m))):
        users = pairs[:, side]
        outside = (users < 0) | (users >= size)
        if bool(outside.any()):
            raise SolverError(
                f"{name} user {int(users[outside][0])} in a known pair, {int(outside.sum())} such",
                f"0 to {size - 1}",
                "known pairs",
                "drop pairs of users that have no embedding",
            )
        counts = torch.bincount(users, minlength=1)
        if int(counts.max()) > 1:
            raise SolverError(
                f"{name} user {int(counts.argmax())} in {int(counts.max())} known pairs",
                "each user in one pair",
                "known pairs",
                "drop repeated pairs; where two differ, keep the one that is right",
            )


def _unknown(known: torch.Tensor, size: int) -> torch.Tensor:
    free = torch.ones(size, dtype=torch.bool, device=known.device)
    free[known] = False
    return torch.nonzero(free)[:, 0]


def _merged(found: Partners | None, pairs: torch.Tensor, rows: torch.Tensor, columns: torch.Tensor, n: int) -> Partners:
    """Put known users beside those that were matched; masses are shares of the unknown users' total of 1."""
    k = 1 if found is None else found.targets.shape[1]
    device = pairs.device
    targets = torch.full((n, k), -1, dtype=torch.int64, device=device)
    weights = torch.zeros(n, k, device=device)
    mass = torch.zeros(n, dtype=torch.float64, device=device)
    effective = torch.ones(n, device=device)
    if found is not None:
        targets[rows] = torch.where(found.targets >= 0, columns[found.targets.clamp_min(0)], found.targets)
        weights[rows], mass[rows], effective[rows] = found.weights, found.mass, found.effective
    targets[pairs[:, 0], 0], weights[pairs[:, 0], 0] = pairs[:, 1], 1.0
    mass[pairs[:, 0]] = 1.0 / max(1, len(rows))
    return Partners(targets, weights, mass, weights.sum(dim=1), effective)
