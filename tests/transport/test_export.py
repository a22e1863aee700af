import math

import numpy as np
import pytest
import torch

from raymm.transport import bilinear, sinkhorn
from raymm.transport.export import new_partners, top_partners
from raymm.transport.partitioned import PartitionConfig, solve_partitioned
from raymm.transport.problem import Problem, state_problem
from tests.transport.people import domains, masses


@pytest.mark.parametrize("rho", [math.inf, 0.05])
def test_lists_are_the_heaviest_of_the_dense_plan(rho: float) -> None:
    x, y = domains(300, 200, 80, torch.float64)
    problem = state_problem(bilinear.cosine(x, y), masses(300), masses(200, 1), 0.05, rho)
    solution = solve_partitioned(problem, PartitionConfig(cells=8), torch.Generator().manual_seed(0))
    found = top_partners(problem, solution, 7)
    plan = sinkhorn.plan(problem.cost.dense(), problem.a, problem.b, solution.f, solution.g, 0.05).numpy()
    rows = plan / plan.sum(1, keepdims=True)
    order = np.argsort(-rows, axis=1)[:, :7]
    np.testing.assert_array_equal(found.targets, order)
    np.testing.assert_allclose(found.weights, np.take_along_axis(rows, order, 1), atol=1e-6)
    np.testing.assert_allclose(found.mass, plan.sum(1), rtol=1e-6)
    np.testing.assert_allclose(found.kept, np.take_along_axis(rows, order, 1).sum(1), atol=1e-6)
    entropy = -(rows * np.log(np.maximum(rows, 1e-300))).sum(1)
    np.testing.assert_allclose(found.effective, np.exp(entropy), rtol=1e-4)


def test_rows_with_few_kept_columns_are_padded() -> None:
    x, y = domains(600, 500, 150, torch.float32)
    problem = state_problem(bilinear.cosine(x, y), None, None, 0.02, 0.02)
    config = PartitionConfig(cells=40, sample=150, missed_mass=0.5, max_rounds=1)
    solution = solve_partitioned(problem, config, torch.Generator().manual_seed(0))
    fewest = int((solution.partition.kept.double() @ solution.partition.columns.edges.diff().double()).min())
    assert fewest < 100
    found = top_partners(problem, solution, 100)
    missing = found.targets < 0
    assert missing.any()
    assert (found.weights[missing] == 0).all()
    assert (found.kept <= 1 + 1e-5).all()
    listed = [row[row >= 0].tolist() for row in found.targets]
    assert all(len(set(row)) == len(row) for row in listed)


def test_new_users_get_the_partners_they_would_have_had() -> None:
    x, y = domains(300, 200, 80, torch.float64)
    problem = state_problem(bilinear.cosine(x, y), None, None, 0.05, 0.05)
    solution = solve_partitioned(problem, PartitionConfig(cells=8), torch.Generator().manual_seed(0))
    listed = top_partners(problem, solution, 5)
    late = Problem(bilinear.cosine(x[:20], y), problem.a[:20], problem.b, 0.05, 0.05)
    found = new_partners(late, solution.g, 5)
    torch.testing.assert_close(found.targets, listed.targets[:20])
    torch.testing.assert_close(found.mass, listed.mass[:20])
    torch.testing.assert_close(listed.mass, problem.a * torch.exp(-solution.f / 0.05), rtol=1e-6, atol=0)
