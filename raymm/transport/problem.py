"""The entropic transport problem between two large sets of points."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch

from raymm.errors import SolverError
from raymm.transport.bilinear import Bilinear
from raymm.transport.marginals import checked


@dataclass(frozen=True, eq=False)
class Problem:
    """Minimise <C, P> + epsilon KL(P | a x b) + rho KL(P 1 | a) + rho KL(P^T 1 | b) over P >= 0.

    Make it with `state_problem`, which checks it; parts of a checked problem are made by its methods.

    Attributes:
        cost: C.
        a: (n,) float64, positive, of total 1 (for all rows together where the rows are shared out).
        b: (m,) float64, positive, of total 1.
        epsilon: Entropic weight, in the unit of the cost.
        rho: KL weight of both marginals; infinite makes them constraints (balanced).
    """

    cost: Bilinear
    a: torch.Tensor
    b: torch.Tensor
    epsilon: float
    rho: float = math.inf

    @property
    def balanced(self) -> bool:
        """Whether marginals are constraints."""
        return math.isinf(self.rho)

    def rows(self, rows: range) -> Problem:
        """Return the part that a worker holds who has only these rows: masses are not scaled."""
        own = torch.arange(rows.start, rows.stop, device=self.a.device)
        every = torch.arange(self.cost.m, device=self.a.device)
        return replace(self, cost=self.cost.take(own, every), a=self.a[own])

    def between(self, rows: torch.Tensor, columns: torch.Tensor) -> Problem:
        """Return the problem of some rows and some columns, each side's masses brought to total 1."""
        a, b = self.a[rows], self.b[columns]
        return replace(self, cost=self.cost.take(rows, columns), a=a / a.sum(), b=b / b.sum())

    def transposed(self) -> Problem:
        """Exchange the sides."""
        return replace(self, cost=self.cost.transposed(), a=self.b, b=self.a)


def state_problem(
    cost: Bilinear, a: torch.Tensor | None, b: torch.Tensor | None, epsilon: float, rho: float = math.inf
) -> Problem:
    """Check and bring together what makes a problem.

    Args:
        cost: C, with n rows and m columns.
        a: (n,) masses of any positive total, all positive; equal ones where left out.
        b: (m,) likewise.
        epsilon: Greater than 0; the type of the cost must resolve it.
        rho: Greater than 0, infinite for balanced.

    Raises:
        SolverError: Negative, zero, missing or non-finite masses, or an epsilon or rho that cannot be used.
    """
    device = cost.source.device
    masses = []
    for given, size, side in ((a, cost.n, "source masses"), (b, cost.m, "target masses")):
        equal = torch.ones(size, dtype=torch.float64, device=device)
        mass = checked(equal if given is None else given, size, side)
        if bool((mass == 0).any()):
            raise SolverError(f"{int((mass == 0).sum())} points of mass 0", "positive masses", side, "leave them out")
        masses.append(mass)
    if not rho > 0:
        raise SolverError(f"rho {rho!r}", "above 0, infinite for balanced marginals", "entropic transport")
    lengths = [torch.linalg.vector_norm(side, dim=1).max() for side in (cost.source, cost.target)]
    reach, rounding = float(lengths[0] * lengths[1]), torch.finfo(cost.source.dtype).eps
    double = cost.source.dtype == torch.float64
    # Rounding of the largest score that can occur is the error of an exponent.
    if not (epsilon > 0 and reach / epsilon * rounding < 1e-2):
        raise SolverError(
            f"epsilon {epsilon!r} with inner products up to {reach:g} in {cost.source.dtype}",
            f"at least {reach * rounding * 100:.2g}",
            "entropic transport",
            "raise epsilon" if double else "raise epsilon, or compute in float64 (of a matching: precision float64)",
        )
    return Problem(cost, masses[0], masses[1], epsilon, rho)
