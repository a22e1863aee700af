"""Masses of the two sides of a matching problem, so that known pairs and unequal sizes are feasible together."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from raymm.errors import SolverError


@dataclass(frozen=True, eq=False)
class Marginals:
    """Masses of source and target users.

    Attributes:
        a: (n,) float64, sums to 1; zero for users that take no part.
        b: (m,) float64, sums to 1; zero for users that take no part.
        shared_mass: Mass of each known pair, on both sides; 0 where there are none.
    """

    a: torch.Tensor
    b: torch.Tensor
    shared_mass: float


def anchored(n: int, m: int, n_shared: int, device: torch.device | None = None) -> Marginals:
    """Give each known pair one mass on both sides, and spread the rest evenly over the other users.

    Uniform masses 1/n and 1/m contradict a mask that ties the first `n_shared` rows to the first `n_shared` columns
    when n differs from m. Here each pair has w0 = 1 / max(n, m) on both sides. Where one side consists of known users
    only, w0 = 1 / n_shared, and the other side's unknown users take no part (mass 0): they have no possible partner.

    Args:
        n: Source users, at least 1.
        m: Target users, at least 1.
        n_shared: Known pairs; they stand first on both sides, in the same order.
        device: Where the masses are wanted.

    Raises:
        SolverError: An empty side, or more pairs than users.

    Differs from the source: SIEOUG (arXiv 2502.16068) is silent on masses under its mask; this choice is ours.
    """
    if n < 1 or m < 1 or not 0 <= n_shared <= min(n, m):
        raise SolverError(
            f"{n} source users, {m} target users, {n_shared} known pairs",
            "at least one user a side and no more pairs than users",
            "matching",
            "check that both sides were read and that each user stands in one pair",
        )
    shared_mass = 0.0
    if n_shared:
        shared_mass = 1.0 / n_shared if n_shared == min(n, m) else 1.0 / max(n, m)
    return Marginals(_side(n, n_shared, shared_mass, device), _side(m, n_shared, shared_mass, device), shared_mass)


def checked(mass: torch.Tensor, size: int, side: str) -> torch.Tensor:
    """Return `mass` as float64 that sums to 1, after checking it.

    Args:
        mass: (size,) weights, at least 0, any positive total.
        size: How many points the side has.
        side: Name for the message.

    Raises:
        SolverError: Wrong length, a negative or non-finite weight, or nothing but zeros.
    """
    mass = mass.detach().to(torch.float64)
    if mass.shape != (size,):
        raise SolverError(f"{tuple(mass.shape)} masses", f"({size},), one a point", side)
    if size == 0:
        raise SolverError("no points", "at least one", side, "check that this side was read")
    if not bool(torch.isfinite(mass).all()) or bool((mass < 0).any()) or not float(mass.sum()) > 0:
        worst = int(torch.nonzero(~torch.isfinite(mass) | (mass < 0))[:1].sum())
        raise SolverError(
            f"mass {float(mass[worst])!r} at point {worst}, total {float(mass.sum())!r}",
            "finite masses of at least 0 with a positive total",
            side,
            "mend the weights, or leave them out for equal ones",
        )
    return mass / mass.sum()


def _side(size: int, n_shared: int, shared_mass: float, device: torch.device | None) -> torch.Tensor:
    mass = torch.empty(size, dtype=torch.float64, device=device)
    mass[:n_shared] = shared_mass
    if size > n_shared:
        mass[n_shared:] = max(0.0, 1.0 - n_shared * shared_mass) / (size - n_shared)
    return mass / mass.sum()
