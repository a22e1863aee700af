"""A small column-parallel model of two domains with a dense layer, for tests of loop and engines."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from raymm.contracts import Batch, ParameterGroup, Triples
from raymm.data.sampling import Positives, TripleSource
from raymm.nn.ranking import bpr
from raymm.nn.views import ViewAttention, combine
from raymm.parallel.collectives import collect_columns, sum_columns
from raymm.parallel.columns import ColumnTable
from raymm.parallel.grid import Grid
from raymm.scorers import DotScorer

USERS, ITEMS, WIDTH = 30, 20, 6


class Toy(nn.Module):
    """Matrix factorisation in two domains; users have two tables, weighed by attention."""

    def __init__(self, grid: Grid, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.grid = grid
        self.users = nn.ModuleList(ColumnTable(USERS, WIDTH, grid, generator) for _ in range(4))
        self.chosen = nn.ModuleList(ColumnTable(ITEMS, WIDTH, grid, generator) for _ in range(2))
        self.attention = ViewAttention(WIDTH, grid, generator)

    def start_epoch(self, epoch: int) -> dict[str, float]:
        return {"toy.epoch": float(epoch)}

    def diagnostics(self) -> dict[str, float]:
        return {"toy.seen": 1.0}

    def forward(self, batch: Batch) -> dict[str, torch.Tensor]:
        return {f"bpr.{place}": self._loss(place, triples) for place, triples in enumerate(batch.domains)}

    def _loss(self, place: int, triples: Triples) -> torch.Tensor:
        views = tuple(self.users[2 * place + side]()[triples.users] for side in range(2))
        users = combine(views, self.attention(views))
        items = self.chosen[place]()
        both = torch.stack([(users * items[rows]).sum(1) for rows in (triples.positives, triples.negatives)])
        positive, negative = sum_columns(both, self.grid)
        return bpr(positive, negative, triples.total / self.grid.data_parallel)

    def parameter_groups(self) -> tuple[ParameterGroup, ...]:
        return (
            ParameterGroup("tables", (*self.users.parameters(), *self.chosen.parameters())),
            ParameterGroup("attention", tuple(self.attention.parameters()), 0.1),
        )

    def scorer(self, domain: str) -> DotScorer:
        place = int(domain)
        whole = [
            collect_columns(table().detach(), WIDTH, self.grid) for table in (self.users[2 * place], self.chosen[place])
        ]
        return DotScorer(*whole)


def toy_source(grid: Grid, batch_size: int = 16) -> TripleSource:
    """Batches over random rows of two domains of unequal size."""
    generator = np.random.default_rng(0)
    keys = [np.sort(generator.choice(USERS * ITEMS, size=rows, replace=False)) for rows in (77, 50)]
    return TripleSource([Positives(k // ITEMS, k % ITEMS, ITEMS) for k in keys], batch_size, seed=7, grid=grid)
