import pytest
import torch

from raymm.errors import SolverError
from raymm.transport import bilinear
from raymm.transport.fixed_point import Progress, State, iterate
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.sweep import LocalSweep
from tests.transport.people import domains, masses


def sweep() -> tuple[LocalSweep, Problem, torch.Tensor]:
    x, y = domains(200, 150, 50)
    problem = state_problem(bilinear.cosine(x, y), masses(200), masses(150, 1), 0.05)
    return LocalSweep(problem), problem, torch.zeros(150, dtype=torch.float64)


def test_a_run_that_is_cut_goes_on_as_if_it_had_not_been() -> None:
    rows, problem, g = sweep()
    seen: list[Progress] = []
    config = SolverConfig(tolerance=1e-9)
    whole = iterate(rows, problem, config, State(g), ("test", seen.append))
    assert whole.converged
    assert [step.iteration for step in seen] == list(range(1, whole.iterations + 1))
    assert whole.errors == tuple(step.error for step in seen)
    assert whole.iterations > 8
    rows, problem, g = sweep()  # nothing but the state is kept
    rest = iterate(rows, problem, config, seen[5].state)
    assert rest.iterations == whole.iterations
    torch.testing.assert_close(rest.g, whole.g, atol=1e-12, rtol=0)
    torch.testing.assert_close(torch.tensor(rest.errors), torch.tensor(whole.errors), atol=1e-12, rtol=1e-5)


def test_f_belongs_to_the_best_g_when_iterations_run_out() -> None:
    rows, problem, g = sweep()
    end = iterate(rows, problem, SolverConfig(tolerance=1e-12, accept=1.0, max_iterations=6), State(g))
    assert not end.converged
    assert end.error == pytest.approx(min(end.errors))
    again, _, _ = sweep()
    again.columns(end.g)
    torch.testing.assert_close(again.potentials(), rows.potentials())


def test_an_error_above_what_is_accepted_is_refused() -> None:
    rows, problem, g = sweep()
    with pytest.raises(SolverError, match="after 2 iterations"):
        iterate(rows, problem, SolverConfig(tolerance=1e-9, accept=1e-8, max_iterations=2), State(g))


def test_a_column_that_nobody_reaches_in_float32_comes_back() -> None:
    x, y = domains(80, 60, 30, torch.float32)
    y[7] = -20.0 * y[7]  # squared distance to everybody of thousands of epsilon
    cost = bilinear.squared_euclidean(x, y)
    problem = state_problem(cost, masses(80), masses(60, 1), 0.5)
    rows, g = LocalSweep(problem), torch.zeros(60, dtype=torch.float64)
    assert float(rows.columns(g)[7]) == 0.0
    end = iterate(rows, problem, SolverConfig(tolerance=1e-3), State(g))
    assert end.converged
    assert float(end.columns[7]) == pytest.approx(float(masses(60, 1)[7]), rel=0.1)
