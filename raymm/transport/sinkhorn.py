"""Dense entropic transport in float64: kernel form with stabilisation, log domain where the kernel would overflow."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch

from raymm.config import check, setting
from raymm.errors import ConfigError, SolverError
from raymm.transport.anderson import Anderson

_DRIFT = (
    100.0  # potentials may leave the kernel's by this many epsilon before it is built anew: e^100 is far from overflow
)
_LARGEST_RATIO = 1e8  # cost range over epsilon; above it float64 potentials no longer resolve epsilon


@dataclass(frozen=True)
class SolverConfig:
    """How a fixed-point iteration is carried out and when it stops."""

    tolerance: float = setting(1e-6, "Stop when the relative L1 error of the columns is below this.", gt=0)
    accept: float = setting(1e-2, "Refuse a result whose error is above this.", gt=0)
    max_iterations: int = setting(500, "Iterations at most.", ge=1)
    depth: int = setting(5, "Residuals that Anderson acceleration mixes; 0 turns it off.", ge=0, le=50)
    mixing: float = setting(
        1.0, "Step along the residual; with depth 0, 1 is Sinkhorn, above over-relaxes.", gt=0, lt=2
    )

    def __post_init__(self) -> None:
        """Check ranges, and that what stops the solver would also be accepted."""
        check(self)
        if self.accept < self.tolerance:
            raise ConfigError(
                f"accept: found {self.accept!r}, expected at least tolerance ({self.tolerance!r})", "", "SolverConfig"
            )


@dataclass(frozen=True, eq=False)
class Solution:
    """Potentials of an entropic transport problem and how far to trust them.

    The plan is P[i, j] = a_i b_j exp((f_i + g_j - C[i, j]) / epsilon): f and g are relative to the product a x b.

    Attributes:
        f: (n,) float64; points without mass have their soft c-transform.
        g: (m,) float64.
        error: L1 error of the columns, relative to the mass moved; rows are exact.
        iterations: Iterations spent.
        converged: The error is within the tolerance.
    """

    f: torch.Tensor
    g: torch.Tensor
    error: float
    iterations: int
    converged: bool


def solve(
    cost: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    epsilon: float,
    relaxation: tuple[float, float] = (math.inf, math.inf),
    config: SolverConfig | None = None,
    start: torch.Tensor | None = None,
) -> Solution:
    """Minimise <C, P> + epsilon KL(P | a x b) + rho_a KL(P 1 | a) + rho_b KL(P^T 1 | b) over P >= 0.

    An infinite rho makes the marginal a constraint (balanced). One iteration is the soft c-transform of g, then that of
    the resulting f, each damped by rho / (rho + epsilon); a and b may hold zeros.

    Adding a constant s to the cost changes a balanced plan not at all, and a relaxed plan by one common factor,
    exp(-s / (epsilon + 2 rho)) when both rho are equal: its rows, normalised, stay the same.

    Source: SIEOUG (arXiv 2502.16068), eq. 21 (soft-min) as we read it; relaxed form of Chizat et al., "Scaling
    algorithms for unbalanced optimal transport problems", Math. Comp. 87 (2018).

    Args:
        cost: (n, m), finite.
        a: (n,) masses of the rows, float64, at least 0.
        b: (m,) masses of the columns; of the total of `a` where both sides are balanced.
        epsilon: Entropic weight, greater than 0, in the unit of the cost.
        relaxation: (rho_a, rho_b), each greater than 0, infinite for a hard constraint.
        config: Tolerances and acceleration; the defaults where left out.
        start: (m,) a first g, from an earlier solve of a similar problem.

    Raises:
        SolverError: A cost that is not finite, an epsilon too small for float64, balanced masses with unequal totals,
            or an error above `config.accept` at the end.
    """
    config = config or SolverConfig()
    _check_problem(cost, a, b, epsilon, relaxation)
    rows, columns = torch.nonzero(a > 0)[:, 0], torch.nonzero(b > 0)[:, 0]
    everything = len(rows) == len(a) and len(columns) == len(b)
    inner = cost if everything else cost[rows][:, columns]
    iteration = _Iteration(inner.to(torch.float64), a[rows], b[columns], epsilon, relaxation)
    g = torch.zeros_like(b[columns]) if start is None else start[columns].to(torch.float64)
    f, g, error, iterations = _iterate(iteration, g, config)
    if not error <= config.accept:
        raise SolverError(
            f"error {error:.3g} after {iterations} iterations",
            f"at most {config.accept:g}",
            f"entropic transport, {len(a)} x {len(b)}, epsilon {epsilon:g}",
            "raise epsilon, max_iterations or depth, or relax the marginals",
        )
    if not everything:
        f, g = _extended(cost.to(torch.float64), a, b, g, columns, epsilon, relaxation)
    return Solution(f, g, error, iterations, error <= config.tolerance)


def plan(
    cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, f: torch.Tensor, g: torch.Tensor, epsilon: float
) -> torch.Tensor:
    """Return P[i, j] = a_i b_j exp((f_i + g_j - C[i, j]) / epsilon), (n, m) float64; zero mass gives exact zeros."""
    scores = cost.to(torch.float64).neg()
    scores += f[:, None]
    scores += g[None, :]
    scores.mul_(1.0 / epsilon).add_(a.log()[:, None]).add_(b.log()[None, :])
    return scores.exp_()


def damping(rho: float, epsilon: float) -> float:
    """Return rho / (rho + epsilon), the factor that a KL-relaxed marginal puts on its potential; 1 when balanced."""
    return 1.0 if math.isinf(rho) else rho / (rho + epsilon)


def column_error(columns: torch.Tensor, g: torch.Tensor, b: torch.Tensor, rho: float) -> float:
    """Return the L1 distance of the column sums from what g stands for, relative to the mass moved.

    Balanced columns should be b, relaxed ones b exp(-g / rho): at the solution both sides of that are equal.
    """
    wanted = b if math.isinf(rho) else b * torch.exp(-g / rho)
    return float((columns - wanted).abs().sum() / columns.sum())


class _Iteration:
    """One map g -> (f, T(g)) of a dense problem; every mass is positive."""

    def __init__(
        self, cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, epsilon: float, relaxation: tuple[float, float]
    ) -> None:
        self.b, self.a, self.epsilon, self.rho = b, a, epsilon, relaxation[1]
        self.damp_f, self.damp_g = damping(relaxation[0], epsilon), damping(relaxation[1], epsilon)
        self.balanced = math.isinf(relaxation[0]) and math.isinf(relaxation[1])
        self._scores = cost * (-1.0 / epsilon)
        self._log_a, self._log_b = a.log(), b.log()
        self._kernel: torch.Tensor | None = None
        self._f, self._g = a, b  # what the kernel was built with; set together with it

    def __call__(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, float]:
        """Return f, T(g) and the column error."""
        result = self._by_kernel(g)
        if result is None:
            result = self._by_logarithms(g)
            self._build(result[0], g)
        f, image, columns = result
        return f, image, column_error(columns, g, self.b, self.rho)

    def _by_kernel(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | None:
        if self._kernel is None:
            return None
        shift = (g - self._g) / self.epsilon
        if not float(shift.abs().max()) < _DRIFT:
            return None
        v = shift.exp()
        rows = self._kernel @ v
        f = self.damp_f * (self._f - self.epsilon * (rows / self.a).log())
        drift = (f - self._f) / self.epsilon
        columns = v * (self._kernel.T @ drift.exp())
        image = self.damp_g * (g - self.epsilon * (columns / self.b).log())
        # A sum that is zero or overflowed shows up here as an infinity or NaN, as does too great a drift of f.
        sound = float(drift.abs().max()) < _DRIFT and math.isfinite(float(image.sum()))
        return (f, image, columns) if sound else None

    def _by_logarithms(self, g: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        into_f = torch.logsumexp(self._scores + (g / self.epsilon + self._log_b)[None, :], dim=1)
        f = -self.damp_f * self.epsilon * into_f
        into_g = torch.logsumexp(self._scores + (f / self.epsilon + self._log_a)[:, None], dim=0)
        image = -self.damp_g * self.epsilon * into_g
        return f, image, torch.exp(self._log_b + g / self.epsilon + into_g)

    def _build(self, f: torch.Tensor, g: torch.Tensor) -> None:
        self._f, self._g = f, g
        exponents = self._scores + (f / self.epsilon + self._log_a)[:, None]
        self._kernel = exponents.add_((g / self.epsilon + self._log_b)[None, :]).exp_()


def _iterate(
    iteration: _Iteration, g: torch.Tensor, config: SolverConfig
) -> tuple[torch.Tensor, torch.Tensor, float, int]:
    mixer = Anderson(iteration.b, config.depth, config.mixing, iteration.balanced)
    best = (g, g, math.inf)
    for count in range(1, config.max_iterations + 1):
        f, image, error = iteration(g)
        if error < best[2]:
            best = (f, g, error)
        if error <= config.tolerance:
            return f, g, error, count
        g = mixer.propose(g, image, error)
    return (*best, config.max_iterations)


def _extended(
    cost: torch.Tensor,
    a: torch.Tensor,
    b: torch.Tensor,
    g: torch.Tensor,
    columns: torch.Tensor,
    epsilon: float,
    relaxation: tuple[float, float],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Give points without mass the potentials that their soft c-transform says."""
    into_f = torch.logsumexp((g - cost[:, columns]) / epsilon + b[columns].log(), dim=1)
    f = -damping(relaxation[0], epsilon) * epsilon * into_f
    into_g = torch.logsumexp((f[:, None] - cost) / epsilon + a.log()[:, None], dim=0)
    full = -damping(relaxation[1], epsilon) * epsilon * into_g
    full[columns] = g
    return f, full


def _check_problem(
    cost: torch.Tensor, a: torch.Tensor, b: torch.Tensor, epsilon: float, relaxation: tuple[float, float]
) -> None:
    where = f"entropic transport, {len(a)} x {len(b)}"
    if cost.shape != (len(a), len(b)) or not cost.numel():
        raise SolverError(f"a cost of shape {tuple(cost.shape)}", f"({len(a)}, {len(b)}), not empty", where)
    low, high = (float(value) for value in torch.aminmax(cost))
    if not (math.isfinite(low) and math.isfinite(high)):
        raise SolverError("a cost that is NaN or infinite", "finite costs", where, "check the embeddings for NaN")
    if not epsilon > 0 or (high - low) / epsilon > _LARGEST_RATIO:
        raise SolverError(
            f"epsilon {epsilon!r} for costs from {low:g} to {high:g}",
            f"at least {(high - low) / _LARGEST_RATIO:g}",
            where,
            "raise epsilon: below this float64 cannot resolve it",
        )
    if not min(relaxation) > 0:
        raise SolverError(f"relaxation {relaxation}", "numbers above 0, infinite for balanced marginals", where)
    total_a, total_b = float(a.sum()), float(b.sum())
    if not (total_a > 0 and total_b > 0) or bool((a < 0).any()) or bool((b < 0).any()):
        raise SolverError(f"masses of total {total_a:g} and {total_b:g}", "at least 0, some positive", where)
    if math.isinf(min(relaxation)) and abs(total_a - total_b) > 1e-9 * max(total_a, total_b):
        raise SolverError(
            f"row masses of {total_a!r}, column masses of {total_b!r}",
            "equal totals for balanced marginals",
            where,
            "normalise both, or relax the marginals",
        )
