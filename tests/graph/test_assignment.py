"""Regularised assignments against POT, bisection and the conditions of optimality."""

from __future__ import annotations

import numpy as np
import ot
import pytest

from raymm.graph.assignment import balanced_assignment, free_assignment, penalty, simplex_rows


def _scores(rows: int = 40, clusters: int = 5, seed: int = 0) -> np.ndarray:
    """Scores that favour the first clusters, so that balance costs something."""
    rng = np.random.default_rng(seed)
    return rng.standard_normal((rows, clusters)) + np.linspace(1, 0, clusters)


def _alone(values: np.ndarray) -> np.ndarray:
    return values


def _bisected(row: np.ndarray) -> np.ndarray:
    """Project one row onto the simplex by bisection of the threshold."""
    low, high = row.min() - 2, row.max()
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if np.maximum(row - middle, 0).sum() > 1 else (low, middle)
    return np.maximum(row - low, 0)


@pytest.mark.parametrize("scale", [1e-3, 1.0, 1e3])
def test_rows_are_projected_onto_the_simplex(scale: float) -> None:
    scores = _scores() * scale
    scores[0] = 0.3  # all tied
    projected = simplex_rows(scores)
    np.testing.assert_allclose(projected, [_bisected(row) for row in scores], atol=1e-12 * max(1, scale))
    np.testing.assert_allclose(projected.sum(1), 1, atol=1e-12)
    assert projected.min() >= 0
    np.testing.assert_allclose(simplex_rows(scores * 1e20).sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(simplex_rows(projected), projected, atol=1e-12)


def test_one_cluster_takes_everything() -> None:
    np.testing.assert_array_equal(simplex_rows(np.array([[3.0], [-2.0]])), 1)


@pytest.mark.filterwarnings("ignore:scipy.optimize:DeprecationWarning")  # POT's call of scipy
@pytest.mark.parametrize("epsilon", [0.1, 1.0, 4.0])
def test_the_balanced_l2_plan_equals_pot(epsilon: float) -> None:
    scores = _scores()
    rows, clusters = scores.shape
    result = balanced_assignment(scores, epsilon, "l2", np.zeros(clusters), 1e-8, 500, _alone)
    # POT's plan sums to one, ours to the number of rows: its penalty is smaller by that number squared.
    expected = rows * ot.smooth.smooth_ot_dual(
        np.full(rows, 1 / rows), np.full(clusters, 1 / clusters), -scores, epsilon * rows, "l2", stopThr=1e-12
    )
    np.testing.assert_allclose(result.plan, expected, atol=1e-4)
    np.testing.assert_allclose(result.plan.sum(1), 1, atol=1e-12)
    np.testing.assert_allclose(result.plan.sum(0), rows / clusters, rtol=1e-7)
    assert result.column_error <= 1e-7
    assert 1 < result.evaluations <= 500


@pytest.mark.parametrize("epsilon", [1.0, 5.0])
def test_the_balanced_entropic_plan_equals_pot(epsilon: float) -> None:
    scores = _scores()
    rows, clusters = scores.shape
    result = balanced_assignment(scores, epsilon, "entropy", np.zeros(clusters), 1e-9, 500, _alone)
    expected = rows * ot.sinkhorn(
        np.full(rows, 1 / rows), np.full(clusters, 1 / clusters), -scores, epsilon / clusters, stopThr=1e-14
    )
    np.testing.assert_allclose(result.plan, expected, atol=1e-8)


@pytest.mark.parametrize("regulariser", ["l2", "entropy"])
def test_free_plans_are_at_least_as_good_as_any_other_plan(regulariser: str) -> None:
    scores = _scores()
    best = free_assignment(scores, 0.7, regulariser)
    np.testing.assert_allclose(best.sum(1), 1, atol=1e-12)
    value = lambda plan: (scores * plan).sum() - 0.7 * penalty(plan, regulariser)  # noqa: E731
    others = np.random.default_rng(1).dirichlet(np.ones(5), (300, 40))
    moves = [0.99 * best + 0.01 * other for other in others]
    assert all(value(best) >= value(other) for other in [*others, *moves])


def test_the_penalties_have_one_curvature_at_the_uniform_plan() -> None:
    uniform, nudge = np.full((1, 5), 0.2), np.array([[1e-3, -1e-3, 0, 0, 0]])
    rises = [penalty(uniform + nudge, name) - penalty(uniform, name) for name in ("l2", "entropy")]
    assert rises[0] > 0
    assert rises[1] == pytest.approx(rises[0], rel=1e-4)


def test_warm_potentials_need_fewer_evaluations_and_none_are_spent_when_none_are_allowed() -> None:
    scores = _scores()
    cold = balanced_assignment(scores, 0.5, "l2", np.zeros(5), 1e-8, 500, _alone)
    warm = balanced_assignment(scores + 1e-4, 0.5, "l2", cold.potentials, 1e-8, 500, _alone)
    assert warm.evaluations < cold.evaluations
    cut = balanced_assignment(scores, 0.5, "l2", np.zeros(5), 1e-8, 0, _alone)
    assert cut.evaluations == 0
    assert cut.column_error > 0.1
    np.testing.assert_allclose(cut.plan.sum(1), 1, atol=1e-12)


@pytest.mark.filterwarnings("error")
def test_ties_and_tiny_penalties_still_balance() -> None:
    scores = np.repeat(np.eye(4)[[0, 0, 0, 1]], 10, axis=0)
    for regulariser in ("l2", "entropy"):
        result = balanced_assignment(scores, 0.05, regulariser, np.zeros(4), 1e-4, 500, _alone)
        assert result.column_error < 1e-3
        assert np.isfinite(result.plan).all()
