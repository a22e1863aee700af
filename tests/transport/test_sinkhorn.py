import math

import numpy as np
import ot
import pytest
import torch

from raymm.errors import ConfigError, SolverError
from raymm.transport import sinkhorn
from raymm.transport.sinkhorn import SolverConfig

TIGHT = SolverConfig(tolerance=1e-11, max_iterations=5000)


def problem(n: int = 40, m: int = 30, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    cost = torch.rand(n, m, generator=generator, dtype=torch.float64)
    a, b = (torch.rand(size, generator=generator, dtype=torch.float64) + 0.1 for size in (n, m))
    return cost, a / a.sum(), b / b.sum()


def dense(cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, solution: sinkhorn.Solution, eps: float) -> np.ndarray:
    return sinkhorn.plan(cost, a, b, solution.f, solution.g, eps).numpy()


@pytest.mark.parametrize("epsilon", [0.02, 0.1, 1.0])
def test_balanced_plan_equals_pot(epsilon: float) -> None:
    cost, a, b = problem()
    found = dense(cost, a, b, sinkhorn.solve(cost, a, b, epsilon, config=TIGHT), epsilon)
    truth = ot.sinkhorn(a.numpy(), b.numpy(), cost.numpy(), epsilon, "sinkhorn_log", 100_000, 1e-13)
    np.testing.assert_allclose(found, truth, atol=1e-10)
    np.testing.assert_allclose(found.sum(1), a, atol=1e-12)


@pytest.mark.parametrize("rho", [0.02, 0.1, 1.0])
def test_relaxed_plan_equals_pot(rho: float) -> None:
    cost, a, b = problem()
    found = dense(cost, a, b, sinkhorn.solve(cost, a, b, 0.05, (rho, rho), TIGHT), 0.05)
    truth = ot.unbalanced.sinkhorn_unbalanced(
        a.numpy(), b.numpy(), cost.numpy(), 0.05, rho, reg_type="kl", numItermax=100_000, stopThr=1e-14
    )
    np.testing.assert_allclose(found, truth, atol=1e-9 * truth.max() + 1e-11)
    assert 0 < found.sum() < 0.999


def test_half_relaxed_plan_equals_pot() -> None:
    cost, a, b = problem()
    found = dense(cost, a, b, sinkhorn.solve(cost, a, b, 0.05, (0.1, math.inf), TIGHT), 0.05)
    np.testing.assert_allclose(found.sum(0), b, atol=1e-9)
    truth = ot.unbalanced.sinkhorn_unbalanced(
        a.numpy(), b.numpy(), cost.numpy(), 0.05, (0.1, np.inf), reg_type="kl", numItermax=100_000, stopThr=1e-14
    )
    np.testing.assert_allclose(found, truth, atol=1e-9)


def test_value_tends_to_the_linear_programme() -> None:
    cost, a, b = problem(15, 15)
    truth = ot.emd2(a.numpy(), b.numpy(), cost.numpy())
    gaps = []
    for epsilon in (0.1, 0.03, 0.005):
        solution = sinkhorn.solve(cost, a, b, epsilon, config=SolverConfig(tolerance=1e-9, max_iterations=20_000))
        gaps.append(float((dense(cost, a, b, solution, epsilon) * cost.numpy()).sum()) - truth)
    assert gaps[0] > gaps[1] > gaps[2] > -1e-9
    assert gaps[2] < 1e-3


def test_plain_over_relaxed_and_mixed_iterations_agree() -> None:
    cost, a, b = problem()
    ways = [
        SolverConfig(tolerance=1e-10, max_iterations=5000, depth=depth, mixing=mixing)
        for depth, mixing in ((0, 1.0), (0, 1.5), (5, 1.0), (20, 1.0))
    ]
    solutions = [sinkhorn.solve(cost, a, b, 0.03, config=way) for way in ways]
    plans = [dense(cost, a, b, solution, 0.03) for solution in solutions]
    for other in plans[1:]:
        np.testing.assert_allclose(other, plans[0], atol=1e-9)
    assert solutions[2].iterations < solutions[1].iterations < solutions[0].iterations


@pytest.mark.parametrize("scale", [1e-3, 1.0, 100.0])
def test_kernels_that_overflow_are_handled_in_the_log_domain(scale: float) -> None:
    cost, a, b = problem(20, 20)
    cost = cost * scale  # up to 100 / 0.01 = 10,000: the plain kernel is zero everywhere
    loose = SolverConfig(tolerance=1e-6, accept=1.0, max_iterations=500)
    solution = sinkhorn.solve(cost, a, b, 0.01, config=loose)
    plan = dense(cost, a, b, solution, 0.01)
    assert np.isfinite(plan).all()
    np.testing.assert_allclose(plan.sum(1), a, rtol=1e-6)
    assert np.abs(plan.sum(0) - b.numpy()).sum() == pytest.approx(solution.error, abs=1e-6)


def test_a_constant_in_the_cost_only_scales_a_relaxed_plan() -> None:
    cost, a, b = problem()
    low = dense(cost, a, b, sinkhorn.solve(cost, a, b, 0.05, (0.1, 0.1), TIGHT), 0.05)
    high = dense(cost + 0.3, a, b, sinkhorn.solve(cost + 0.3, a, b, 0.05, (0.1, 0.1), TIGHT), 0.05)
    np.testing.assert_allclose(high, low * math.exp(-0.3 / (0.05 + 0.2)), rtol=1e-7)


def test_points_without_mass_get_no_plan_but_a_potential() -> None:
    cost, a, b = problem()
    a[3], b[5] = 0.0, 0.0
    a, b = a / a.sum(), b / b.sum()
    solution = sinkhorn.solve(cost, a, b, 0.05, config=TIGHT)
    plan = dense(cost, a, b, solution, 0.05)
    assert plan[3].sum() == 0
    assert plan[:, 5].sum() == 0
    assert torch.isfinite(solution.f).all()
    assert torch.isfinite(solution.g).all()
    np.testing.assert_allclose(plan.sum(1), a, atol=1e-9)
    # The potential is what the soft c-transform of the others says.
    expected = -0.05 * math.log(
        sum(float(b[j]) * math.exp(float(solution.g[j] - cost[3, j]) / 0.05) for j in range(30))
    )
    assert float(solution.f[3]) == pytest.approx(expected)


def test_all_equal_costs_give_the_product() -> None:
    _, a, b = problem()
    solution = sinkhorn.solve(torch.full((40, 30), 0.7), a, b, 0.05)
    np.testing.assert_allclose(dense(torch.full((40, 30), 0.7), a, b, solution, 0.05), np.outer(a, b), atol=1e-12)
    assert solution.iterations == 1


def test_a_start_near_the_end_saves_iterations() -> None:
    cost, a, b = problem()
    cold = sinkhorn.solve(cost, a, b, 0.05)
    warm = sinkhorn.solve(cost, a, b, 0.05, start=cold.g + 0.3)
    assert warm.iterations <= 2 < cold.iterations


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"cost": torch.full((40, 30), math.nan)}, "NaN"),
        ({"epsilon": 0.0}, "epsilon"),
        ({"epsilon": 1e-12}, "float64 cannot resolve"),
        ({"b": torch.full((30,), 1.0, dtype=torch.float64)}, "equal totals"),
        ({"a": torch.full((40,), -1.0, dtype=torch.float64)}, "at least 0"),
        ({"cost": torch.zeros(40, 29)}, "shape"),
        ({"relaxation": (0.0, 1.0)}, "above 0"),
        ({"config": SolverConfig(max_iterations=1, tolerance=1e-9, accept=1e-9)}, "after 1 iterations"),
    ],
)
def test_bad_problems_are_refused(change: dict[str, object], match: str) -> None:
    cost, a, b = problem()
    with pytest.raises(SolverError, match=match):
        sinkhorn.solve(**({"cost": cost, "a": a, "b": b, "epsilon": 0.05} | change))  # type: ignore[arg-type]


def test_accept_below_tolerance_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match="accept"):
        SolverConfig(tolerance=1e-2, accept=1e-3)
