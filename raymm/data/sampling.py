"""Batches of an epoch: every training row once, in an order that does not depend on the number of ranks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from raymm.config import check, setting
from raymm.contracts import Batch, Triples
from raymm.errors import DataError
from raymm.parallel.grid import Grid, share

_PERMUTE, _NEGATIVES, _MODEL = 0, 1, 2  # independent streams of random numbers


@dataclass(frozen=True)
class NegativeConfig:
    """Which items stand beside the positives as not chosen; never one that the user has in training."""

    draw: Literal["uniform", "seen", "popularity"] = setting(
        "uniform",
        "alike over all items, alike over those with a training interaction, or by popularity among the latter",
    )
    power: float = setting(0.75, "popularity: an item's weight is its training interactions to this power", gt=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclass(frozen=True, eq=False)
class Positives:
    """All training rows of one domain.

    Attributes:
        users: (n,) int64.
        items: (n,) int64.
        n_items: Number of items to draw negatives from.
    """

    users: np.ndarray
    items: np.ndarray
    n_items: int


class TripleSource:
    """Cuts each epoch of all domains into the same number of steps and draws one negative a row.

    The larger domain fills `batch_size` rows a step; the others are cut into as many steps, so that every row of every
    domain is seen once an epoch. Order and negatives depend on (seed, epoch, step) alone: any number of ranks, and a
    resumed run, see the same global batches.

    Args:
        positives: One entry a domain.
        batch_size: Rows of the global batch in the largest domain.
        seed: Seed of everything drawn.
        grid: The grid of ranks; a data rank gets its rows of each global batch.
        negatives: How negatives are drawn.

    Raises:
        DataError: A domain without rows, or a user who has every item that could be drawn, so that no negative exists.
    """

    def __init__(
        self,
        positives: Sequence[Positives],
        batch_size: int,
        seed: int,
        grid: Grid,
        negatives: NegativeConfig | None = None,
    ) -> None:
        self._candidates = []
        for place, rows in enumerate(positives):
            if not len(rows.users):
                raise DataError("no training rows", "at least one", f"domain {place}")
            self._candidates.append(candidates_of(rows, negatives or NegativeConfig()))
            if np.bincount(rows.users).max() >= len(self._candidates[-1].items):
                raise DataError(
                    "a user who has every item that may be drawn as a negative",
                    "an item to draw",
                    f"domain {place}",
                    "set train.negatives.draw to 'uniform', or leave such users out of the data",
                )
        self._positives = tuple(positives)
        self._known = [np.sort(rows.users * rows.n_items + rows.items) for rows in positives]
        self._seed = seed
        self._grid = grid
        self._steps = -(-max(len(rows.users) for rows in positives) // batch_size)

    @property
    def steps_per_epoch(self) -> int:
        """Number of steps in each epoch, equal on every rank."""
        return self._steps

    def epoch(self, epoch: int, start_step: int = 0) -> Iterator[Batch]:
        """Yield the batches of `epoch` from `start_step` on; see `contracts.BatchSource`."""
        orders = [
            np.random.default_rng([self._seed, _PERMUTE, epoch, place]).permutation(len(rows.users))
            for place, rows in enumerate(self._positives)
        ]
        for step in range(start_step, self._steps):
            triples = tuple(self._triples(place, order, epoch, step) for place, order in enumerate(orders))
            seed = int(np.random.default_rng([self._seed, _MODEL, epoch, step]).integers(2**62))
            yield Batch(triples, seed)

    def _triples(self, place: int, order: np.ndarray, epoch: int, step: int) -> Triples:
        rows, known = self._positives[place], self._known[place]
        run = share(len(order), step, self._steps)
        chosen = order[run.start : run.stop]
        generator = np.random.default_rng([self._seed, _NEGATIVES, epoch, step, place])
        negatives = draw_negatives(rows.users[chosen], known, rows.n_items, self._candidates[place], generator)
        own = self._grid.batch_rows(len(chosen))
        return Triples(
            torch.from_numpy(rows.users[chosen][own.start : own.stop]),
            torch.from_numpy(rows.items[chosen][own.start : own.stop]),
            torch.from_numpy(negatives[own.start : own.stop]),
            total=len(chosen),
        )


@dataclass(frozen=True, eq=False)
class Candidates:
    """Items that may be drawn as negatives.

    Attributes:
        items: (c,) int64.
        cumulative: (c,) float64, probabilities of the items summed up to each; None where all are alike.
    """

    items: np.ndarray
    cumulative: np.ndarray | None

    def draw(self, n: int, generator: np.random.Generator) -> np.ndarray:
        """Draw (n,) items, with repetition."""
        if self.cumulative is None:
            return self.items[generator.integers(len(self.items), size=n)]
        places = np.searchsorted(self.cumulative, generator.random(n) * self.cumulative[-1], side="right")
        drawn: np.ndarray = self.items[np.minimum(places, len(self.items) - 1)]
        return drawn


def candidates_of(rows: Positives, config: NegativeConfig) -> Candidates:
    """List the items of a domain that may be drawn, with their probabilities."""
    if config.draw == "uniform":
        return Candidates(np.arange(rows.n_items), None)
    counts = np.bincount(rows.items, minlength=rows.n_items)
    items = np.flatnonzero(counts)
    cumulative = np.cumsum(counts[items] ** config.power) if config.draw == "popularity" else None
    return Candidates(items, cumulative)


def draw_negatives(
    users: np.ndarray, known: np.ndarray, n_items: int, candidates: Candidates, generator: np.random.Generator
) -> np.ndarray:
    """Draw one item a user among the candidates that the user has not.

    What a user has is drawn again, which leaves the others' probabilities in proportion.

    Args:
        users: (n,) int64.
        known: Sorted `user * n_items + item` of everything that is no negative.
        n_items: Number of items.
        candidates: What may be drawn.
        generator: Source of randomness.

    Returns:
        (n,) int64. Each user must have at least one candidate that he has not, or this does not end.
    """
    items = candidates.draw(len(users), generator)
    open_rows = np.arange(len(users))
    while len(open_rows):
        keys = users[open_rows] * n_items + items[open_rows]
        places = np.minimum(np.searchsorted(known, keys), len(known) - 1)
        open_rows = open_rows[known[places] == keys]
        items[open_rows] = candidates.draw(len(open_rows), generator)
    return items
