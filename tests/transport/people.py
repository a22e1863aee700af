"""Two domains of users with tastes in common, for the tests of large matching."""

from __future__ import annotations

import math

import torch
import torch.distributed as dist

from raymm.parallel.grid import share
from raymm.transport import bilinear
from raymm.transport.problem import Problem, state_problem
from raymm.transport.sinkhorn import SolverConfig
from raymm.transport.streaming import solve_streaming


def domains(
    n: int, m: int, shared: int, dtype: torch.dtype = torch.float64, turned: bool = False, noise: float = 0.1
) -> tuple[torch.Tensor, torch.Tensor]:
    """The first `shared` rows of both sides are the same people; 12 tastes, unequal in the two domains."""
    generator = torch.Generator().manual_seed(n + 7 * m)
    draw = lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)  # noqa: E731
    centres, mixing = draw(12, 8), draw(8, 16) / 3

    def people(count: int) -> torch.Tensor:
        if not count:
            return draw(0, 8)
        weights = torch.rand(12, generator=generator) + 0.2
        return centres[torch.multinomial(weights, count, True, generator=generator)] + 0.5 * draw(count, 8)

    common = people(shared)
    x = torch.tanh(torch.cat([common, people(n - shared)]) @ mixing) + noise * draw(n, 16)
    y = torch.tanh(torch.cat([common, people(m - shared)]) @ mixing) + noise * draw(m, 16)
    if turned:
        y = y @ torch.linalg.qr(draw(16, 16))[0]
    return x.to(dtype), y.to(dtype)


def masses(size: int, seed: int = 0, even: bool = False) -> torch.Tensor:
    """Positive masses of total 1."""
    weights = torch.rand(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) + 0.5
    weights = torch.ones(size, dtype=torch.float64) if even else weights
    return weights / weights.sum()


def solve_on_a_rank(rank: int, ranks: int) -> list[tuple[list[float], list[float], int]]:
    """What one of several gloo ranks finds for the problems of `sharded_problem`: own f, g, iterations."""
    results = []
    for rho in (math.inf, 0.1):
        own = sharded_problem(rho).rows(share(160, rank, ranks))
        end = solve_streaming(own, SolverConfig(tolerance=3e-6), group=dist.group.WORLD)
        results.append((end.f.tolist(), end.g.tolist(), end.iterations))
    return results


def sharded_problem(rho: float) -> Problem:
    x, y = domains(160, 130, 40, torch.float32)
    return state_problem(bilinear.cosine(x, y), masses(160), masses(130, 1), 0.1, rho)
