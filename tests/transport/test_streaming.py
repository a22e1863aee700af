import math

import numpy as np
import ot
import pytest
import torch
from scipy.spatial.distance import cdist
from scipy.special import softmax

from raymm.errors import SolverError
from raymm.transport import bilinear, sinkhorn
from raymm.transport.cost import add_mask, relation_cost
from raymm.transport.fixed_point import State
from raymm.transport.marginals import anchored
from raymm.transport.problem import state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import sampled_start, solve_streaming
from tests.processes import run_ranks
from tests.transport.people import domains, masses, sharded_problem, solve_on_a_rank

TIGHT = SolverConfig(tolerance=1e-10, max_iterations=3000)
PAIRS = torch.arange(20)[:, None].repeat(1, 2)


def costs(dtype: torch.dtype = torch.float64) -> dict[str, bilinear.Bilinear]:
    x, y = domains(160, 130, 40, dtype)
    one = bilinear.cosine(x, y)
    return {
        "cosine": one,
        "euclidean": bilinear.squared_euclidean(x, y),
        "profile": bilinear.profile(x, y, PAIRS),
        "hellinger": bilinear.hellinger_relation(x, y, PAIRS),
        "blend": bilinear.blend([(0.5, one), (0.5, bilinear.hellinger_relation(x, y, PAIRS))]),
        "masked": bilinear.with_soft_mask(one, PAIRS, 2.0),
    }


def plan(cost: bilinear.Bilinear, a: torch.Tensor, b: torch.Tensor, f: torch.Tensor, g: torch.Tensor) -> np.ndarray:
    return sinkhorn.plan(cost.dense(), a, b, f, g, 0.1).numpy()


COSTS = ("cosine", "euclidean", "profile", "hellinger", "js", "blend")
SIZES = [(90, 90), (100, 70), (70, 100), pytest.param((2000, 1800), marks=pytest.mark.slow)]


def written_out(name: str, x: torch.Tensor, y: torch.Tensor) -> np.ndarray:
    """The costs once more, by scipy and numpy alone."""
    if name == "blend":
        return 0.3 * written_out("cosine", x, y) + 0.7 * written_out("profile", x, y)
    points, others = x.numpy(), y.numpy()
    if name == "cosine":
        return cdist(points, others, "cosine")
    if name == "euclidean":
        return cdist(points, others, "sqeuclidean")
    known = [1.0 - cdist(side, side[:20], "cosine") for side in (points, others)]
    if name == "profile":
        return cdist(*(side - side.mean(axis=0) for side in known), "cosine")
    r, q = (softmax(side / 0.1, axis=1) for side in known)
    if name == "hellinger":
        return 0.5 * cdist(np.sqrt(r), np.sqrt(q), "sqeuclidean")
    return cdist(r, q, "jensenshannon") ** 2 / math.log(2.0)


def by_raymm(
    name: str, soft: bool, sides: tuple[torch.Tensor, torch.Tensor], some: tuple[torch.Tensor, ...], rho: float
) -> np.ndarray:
    """The plan between some rows and columns: on the fly, or for Jensen-Shannon dense."""
    rows, columns, a, b = some
    total = float(a.sum())  # a hard mask leaves less than 1 to the unknown users, who are matched by themselves
    a, b = a / total, b / total
    if name == "js":
        shown = torch.arange(20)
        cost = relation_cost(*sides, shown, "js", 0.1, "fixed")
        cost = (add_mask(cost, 20, 2.0) if soft else cost)[rows][:, columns]
        dense = sinkhorn.solve(cost, a, b, 0.1, (rho, rho), TIGHT)
        return sinkhorn.plan(cost, a, b, dense.f, dense.g, 0.1).numpy() * total
    one, profile = bilinear.cosine(*sides), bilinear.profile(*sides, PAIRS)
    ways = {"cosine": one, "profile": profile, "blend": bilinear.blend([(0.3, one), (0.7, profile)])}
    ways["euclidean"] = bilinear.squared_euclidean(*sides)
    ways["hellinger"] = bilinear.hellinger_relation(*sides, PAIRS)
    chosen = bilinear.with_soft_mask(ways[name], PAIRS, 2.0) if soft else ways[name]
    chosen = chosen.take(rows, columns)
    found = solve_streaming(state_problem(chosen, a, b, 0.1, rho), TIGHT)
    return sinkhorn.plan(chosen.dense(), a, b, found.f, found.g, 0.1).numpy() * total


@pytest.mark.parametrize("name", COSTS)
@pytest.mark.parametrize("mask", ["none", "soft", "hard"])
@pytest.mark.parametrize("rho", [math.inf, 0.1], ids=["balanced", "relaxed"])
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
def test_plan_equals_pot_for_every_cost_mask_marginal_and_size(
    name: str, mask: str, rho: float, size: tuple[int, int]
) -> None:
    n, m = size
    sides = domains(n, m, 40)
    cost = written_out(name, *sides)
    if name == "euclidean":  # in the unit of the others, so that one epsilon suits all
        root = math.sqrt(float(cost.mean()))
        sides, cost = (sides[0] / root, sides[1] / root), cost / root**2
    a, b = masses(n), masses(m, 1)
    rows, columns = torch.arange(n), torch.arange(m)
    if mask == "soft":
        cost[:20] += 2.0
        cost[20:, :20] += 2.0
        cost[range(20), range(20)] -= 2.0
    if mask == "hard":
        given = anchored(n, m, 20)
        a, b, rows, columns = given.a, given.b, rows[20:], columns[20:]
    found = by_raymm(name, mask == "soft", sides, (rows, columns, a[rows], b[columns]), rho)
    if math.isinf(rho):
        if mask == "hard":  # the whole problem, in which a known user has one possible partner
            cost[:20], cost[20:, :20] = np.inf, np.inf
            cost[range(20), range(20)] = 0.0
        truth = ot.sinkhorn(a.numpy(), b.numpy(), cost, 0.1, "sinkhorn", 50_000, 1e-12)
        if mask == "hard":
            np.testing.assert_allclose(truth[range(20), range(20)], given.shared_mass, rtol=1e-9)
    else:
        scale = float(a[rows].sum())  # the relaxed problem of the unknown users alone
        arrays = (a[rows] / scale).numpy(), (b[columns] / scale).numpy(), cost[rows][:, columns]
        truth = ot.unbalanced.sinkhorn_unbalanced(*arrays, 0.1, rho, reg_type="kl", numItermax=50_000, stopThr=1e-14)
        truth = truth * scale
    part = truth[-len(rows) :, -len(columns) :]
    assert np.abs(found - part).sum() < 1e-6 * part.sum()


def test_float32_blocks_stay_close_to_float64() -> None:
    cost, single, a, b = costs()["cosine"], costs(torch.float32)["cosine"], masses(160), masses(130, 1)
    exact = solve_streaming(state_problem(cost, a, b, 0.1), config=TIGHT)
    fast = solve_streaming(state_problem(single, a, b, 0.1), config=SolverConfig(tolerance=2e-6))
    difference = plan(cost, a, b, exact.f, exact.g) - plan(cost, a, b, fast.f, fast.g)
    assert np.abs(difference).sum() < 1e-4


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_any_number_of_ranks_gives_the_same_plan(ranks: int) -> None:
    by_rank = run_ranks(solve_on_a_rank, ranks, ranks)
    for number, rho in enumerate((math.inf, 0.1)):
        problem = sharded_problem(rho)
        alone = solve_streaming(problem, SolverConfig(tolerance=3e-6))
        truth = plan(problem.cost, problem.a, problem.b, alone.f, alone.g)
        results = [result[number] for result in by_rank]
        assert all(result[1:] == results[0][1:] for result in results)
        f = torch.tensor([value for own, _, _ in results for value in own], dtype=torch.float64)
        found = plan(problem.cost, problem.a, problem.b, f, torch.tensor(results[0][1], dtype=torch.float64))
        assert np.abs(found - truth).sum() < 1e-5


def test_an_earlier_solution_starts_the_next() -> None:
    cost, a, b = costs()["cosine"], masses(160), masses(130, 1)
    first = solve_streaming(state_problem(cost, a, b, 0.1))
    assert solve_streaming(state_problem(cost, a, b, 0.1), start=State(first.g)).iterations == 1 < first.iterations


@pytest.mark.parametrize("rho", [math.inf, 0.1])
def test_a_sample_saves_passes_and_changes_nothing_else(rho: float) -> None:
    x, y = domains(1500, 1300, 400, torch.float32)
    problem = state_problem(bilinear.cosine(x, y), masses(1500), masses(1300, 1), 0.05, rho)
    config = SolverConfig(tolerance=1e-5)
    cold = solve_streaming(problem, config)
    warm = solve_streaming(problem, config, sampled_start(problem, 300, torch.Generator().manual_seed(0)))
    assert warm.iterations < cold.iterations
    plans = [
        sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, end.f, end.g, 0.05).numpy() for end in (cold, warm)
    ]
    assert np.abs(plans[0] - plans[1]).sum() < 1e-3 * plans[0].sum()
    # More users than there are: the whole problem is its own sample.
    whole = sampled_start(problem, 5000, torch.Generator().manual_seed(0))
    assert solve_streaming(problem, SolverConfig(tolerance=4e-3), whole).iterations == 1


def test_all_equal_points_are_coupled_independently() -> None:
    equal, a, b = torch.ones(30, 4, dtype=torch.float64), masses(30), masses(20, 1)
    cost = bilinear.cosine(equal, equal[:20])
    solution = solve_streaming(state_problem(cost, a, b, 0.1))
    np.testing.assert_allclose(plan(cost, a, b, solution.f, solution.g), np.outer(a, b), atol=1e-12)


def test_a_tolerance_below_the_rounding_of_float32_is_refused() -> None:
    problem = state_problem(costs(torch.float32)["cosine"], None, None, 0.1)
    with pytest.raises(SolverError, match="float32 blocks"):
        solve_streaming(problem, SolverConfig(tolerance=1e-9))
