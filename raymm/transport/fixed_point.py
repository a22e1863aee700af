"""The iteration on g that every large solver shares: it knows column sums and nothing of who holds the rows."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from raymm.errors import SolverError
from raymm.transport.anderson import Anderson
from raymm.transport.problem import Problem
from raymm.transport.sinkhorn import SolverConfig, column_error, damping
from raymm.transport.sweep import RowSweep

_LEAST = 1e-35  # a column that no row reaches in float32 is taken to hold this share of its mass: g rises by 80 epsilon


@dataclass(frozen=True, eq=False)
class State:
    """Where an iteration stands; with it, and the same problem, the iteration goes on as if it had not stopped.

    f is not part of it: the first pass makes it from g.

    Attributes:
        g: (m,) float64, the next point to try.
        iteration: Passes done.
        mixer: State of the acceleration.
        errors: Column error of each pass so far.
    """

    g: torch.Tensor
    iteration: int = 0
    mixer: dict[str, torch.Tensor] = field(default_factory=dict)
    errors: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class Progress:
    """What an observer sees after each pass."""

    stage: str
    iteration: int
    error: float
    seconds: float
    state: State


Observer = Callable[[Progress], None]


@dataclass(frozen=True, eq=False)
class Fixed:
    """The end of an iteration; the sweep's f belongs to this g.

    Attributes:
        g: (m,) float64.
        columns: (m,) float64, column sums of the plan of f and g.
        error: Their L1 error relative to the mass moved.
        errors: Error of each pass.
        iterations: Passes, those of an interrupted run included.
        converged: The error is within the tolerance.
    """

    g: torch.Tensor
    columns: torch.Tensor
    error: float
    errors: tuple[float, ...]
    iterations: int
    converged: bool


def iterate(
    sweep: RowSweep,
    problem: Problem,
    config: SolverConfig,
    state: State,
    observe: tuple[str, Observer] | None = None,
) -> Fixed:
    """Find the g whose plan has the right columns.

    Every decision depends on reduced float64 numbers only, so workers that receive equal sums stay equal.

    Args:
        sweep: Whoever holds the rows.
        problem: Masses of the columns, epsilon and rho are taken from it; its rows are the sweep's business.
        config: When to stop and how to accelerate.
        state: Where to start or to go on.
        observe: Name of the stage, and whom to tell after each pass.

    Raises:
        SolverError: The error at the end is above `config.accept`.
    """
    b, epsilon, rho = problem.b, problem.epsilon, problem.rho
    mixer = Anderson(b, config.depth, config.mixing, problem.balanced)
    if state.mixer:
        mixer.restore(state.mixer)
    g, iteration, errors = state.g, state.iteration, list(state.errors)
    damp = damping(rho, epsilon)
    columns, error = torch.zeros_like(g), math.inf
    while iteration < config.max_iterations:
        began = time.perf_counter()
        columns = torch.maximum(sweep.columns(g), b * _LEAST)
        image = damp * (g - epsilon * (columns / b).log())
        error, iteration = column_error(columns, g, b, rho), iteration + 1
        errors.append(error)
        following = mixer.propose(g, image, error)
        if observe:
            after = State(following, iteration, mixer.state(), tuple(errors))
            observe[1](Progress(observe[0], iteration, error, time.perf_counter() - began, after))
        if error <= config.tolerance:
            break
        g = following
    if error > config.tolerance and mixer.best_point is not None:
        g = mixer.best_point
        columns = torch.maximum(sweep.columns(g), b * _LEAST)
        error = column_error(columns, g, b, rho)
    if not error <= config.accept:
        raise SolverError(
            f"column error {error:.3g} after {iteration} iterations",
            f"at most {config.accept:g}",
            f"entropic transport, {len(b)} columns, epsilon {epsilon:g}",
            "raise epsilon, max_iterations or depth, widen the support, or relax the marginals",
        )
    return Fixed(g, columns, error, tuple(errors), iteration, error <= config.tolerance)
