"""The plan between all users of two domains, and the part of it that guides one step."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields

import torch

from raymm.models.spec import Tensors
from raymm.transport.export import top_partners
from raymm.transport.partitioned import solve_partitioned
from raymm.transport.population import PopulationConfig, check_pairs, population_cost
from raymm.transport.problem import state_problem

SOURCE, TARGET, PAIRS, START = "source", "target", "pairs", "start"
_FACT = "fact."


@dataclass(frozen=True, eq=False)
class Plan:
    """Partners of the source users who are in no known pair.

    Attributes:
        targets: (n, k) int64 target users, heaviest first; -1 where there is none, as for all users of known pairs.
        weights: (n, k) float32 shares of the user's own mass.
        mass: (n,) float64 the user's mass in the plan.
        g: (c,) float64 potentials of the target users in no known pair, ascending: the start of the next solve.
        facts: How far to trust it: `gap` of the certificate, `reached` the target gap (0 or 1), `effective_partners`
            (mean), `listed_mass` (mean share of a user's mass in his list), `matched_mass` (of 1), `iterations`,
            and `solve_s`, which is of the clock and not of the plan.
    """

    targets: torch.Tensor
    weights: torch.Tensor
    mass: torch.Tensor
    g: torch.Tensor
    facts: Mapping[str, float]

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return all of it as tensors, as they travel and are stored."""
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        return arrays | {_FACT + name: torch.tensor(value).double() for name, value in self.facts.items()}


_ARRAYS = tuple(field.name for field in fields(Plan) if field.name != "facts")


def plan_of(tensors: Tensors) -> Plan:
    """Make the plan again from its tensors."""
    facts = {name.removeprefix(_FACT): float(value) for name, value in tensors.items() if name.startswith(_FACT)}
    targets, weights, mass, g = (tensors[name] for name in _ARRAYS)
    return Plan(targets, weights, mass, g, facts)


def solve_plan(inputs: Tensors, config: PopulationConfig, seed: int) -> dict[str, torch.Tensor]:
    """Match all users; known pairs are taken out of the problem (a hard mask) and guide the others through the cost.

    Source: SIEOUG (arXiv 2502.16068), guidance-based optimal user matching. Differs from the source: the whole
    populations are matched, by the partitioned solver with a certificate, and not the users of one batch.

    Args:
        inputs: `source` (n, d) and `target` (m, d) embeddings, `pairs` (q, 2) int64, and perhaps `start` (c,) float64,
            the potentials g of an earlier plan of the same users.
        config: Cost, marginals, accuracy, and how many partners are listed.
        seed: Of samples and first centres.

    Returns:
        The tensors of a `Plan`.

    Raises:
        SolverError: Embeddings that are not finite, too few pairs for the cost, or no convergence.
    """
    clock = time.perf_counter()
    source, target, pairs = inputs[SOURCE], inputs[TARGET], inputs[PAIRS]
    check_pairs(pairs, len(source), len(target))
    rows, columns = (_free(pairs[:, side], len(users)) for side, users in enumerate((source, target)))
    cost = population_cost(source, target, pairs, config).take(rows, columns)
    problem = state_problem(cost, None, None, config.epsilon, config.rho)
    generator = torch.Generator().manual_seed(seed)
    solution = solve_partitioned(problem, config.partition, generator, start=inputs.get(START))
    listed = top_partners(problem, solution, config.top_k)
    k = listed.targets.shape[1]
    targets = torch.full((len(source), k), -1, dtype=torch.int64)
    weights, mass = torch.zeros(len(source), k), torch.zeros(len(source), dtype=torch.float64)
    targets[rows] = torch.where(listed.targets >= 0, columns[listed.targets.clamp_min(0)], listed.targets)
    weights[rows], mass[rows] = listed.weights, listed.mass
    facts = {
        "gap": solution.certificate.relative_gap,
        "reached": float(solution.reached),
        "effective_partners": float(listed.effective.mean()),
        "listed_mass": float(listed.kept.mean()),
        "matched_mass": solution.certificate.mass,
        "iterations": float(solution.iterations),
        "solve_s": time.perf_counter() - clock,
    }
    return Plan(targets, weights, mass, solution.g, facts).tensors()


@dataclass(frozen=True, eq=False)
class Guide:
    """The users of a step and the part of the plan between them.

    Attributes:
        source: (n,) int64 users of the source, those of known pairs first.
        target: (m,) int64 users of the target, the counterparts first, in the same order.
        rows: (n, m) float32 with rows that sum to one (or zero); a known pair has weight 1.
        columns: (n, m) float32 with columns that sum to one (or zero), likewise.
    """

    source: torch.Tensor
    target: torch.Tensor
    rows: torch.Tensor
    columns: torch.Tensor


@dataclass(frozen=True)
class Room:
    """How many target users a step may draw beside the counterparts, of how many there are.

    It is no less than the step's source users, or all there are, so that nobody is left without a partner.
    """

    most: int
    of: int


def guide_of(
    plan: Plan | None, pairs: torch.Tensor, source: torch.Tensor, room: Room, generator: torch.Generator
) -> Guide:
    """Cut a step's part out of a plan: target users are drawn among the partners of its source users.

    First each source user draws one partner by his weights, then each a second one, and so on, without replacement,
    until there is no more room. A target user has the same luck with all who list him (one Gumbel variable each), so
    that the draw does not hang on the order of lists. Weights are those of the plan between the users drawn, brought
    to sums of one.

    Args:
        plan: The plan; None where one domain has users of known pairs only.
        pairs: (q, 2) int64 known pairs of the step.
        source: (r,) int64 source users of the step who are in no known pair.
        room: For target users.
        generator: Draws.
    """
    q, r = len(pairs), len(source)
    drawn, block, mass = source.new_empty(0), torch.zeros(r, 0), torch.zeros(r, dtype=torch.float64)
    if plan is not None and r:
        listed, weights, mass = plan.targets[source], plan.weights[source], plan.mass[source]
        drawn = _drawn(listed, weights, room, generator)
        block = torch.zeros(r, len(drawn))
        place = torch.searchsorted(drawn, listed)
        row, entry = torch.nonzero((weights > 0) & torch.isin(listed, drawn), as_tuple=True)
        block[row, place[row, entry]] = weights[row, entry]
    rows, columns = torch.zeros(q + r, q + len(drawn)), torch.zeros(q + r, q + len(drawn))
    rows.diagonal()[:q], columns.diagonal()[:q] = 1.0, 1.0
    rows[q:, q:] = _to_one(block, 1)
    columns[q:, q:] = _to_one(mass[:, None] * block, 0)
    return Guide(torch.cat([pairs[:, 0], source]), torch.cat([pairs[:, 1], drawn]), rows, columns)


def _drawn(listed: torch.Tensor, weights: torch.Tensor, room: Room, generator: torch.Generator) -> torch.Tensor:
    """Draw target users, ascending; the largest of log weight + Gumbel noise is a draw by weight."""
    uniform = torch.rand(room.of, generator=generator, dtype=torch.float64)
    luck = -torch.log(-torch.log(uniform.clamp(1e-300, 1 - 1e-16)))
    keys = weights.double().log() + luck[listed.clamp_min(0)]
    keys, order = keys.sort(dim=1, descending=True, stable=True)
    turns = torch.arange(keys.shape[1]).expand_as(keys)
    taken = torch.isfinite(keys)
    keys, turns, targets = keys[taken], turns[taken], listed.gather(1, order)[taken]
    by_key = keys.argsort(descending=True, stable=True)
    targets = targets[by_key[turns[by_key].argsort(stable=True)]]
    found, back = targets.unique(return_inverse=True)
    first = torch.full((len(found),), len(targets)).scatter_reduce_(0, back, torch.arange(len(targets)), "amin")
    chosen: torch.Tensor = found[first.argsort()[: room.most]].sort().values
    return chosen


def _to_one(block: torch.Tensor, dim: int) -> torch.Tensor:
    total = block.sum(dim=dim, keepdim=True)
    return (block / torch.where(total > 0, total, torch.ones_like(total))).float()


def _free(known: torch.Tensor, size: int) -> torch.Tensor:
    free = torch.ones(size, dtype=torch.bool)
    free[known] = False
    return torch.nonzero(free)[:, 0]
