"""Bridges of published models between two domains, over tables that stay as they are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy import sparse
from torch import nn
from torch.nn import functional

from raymm.nn.bridges import MetaNetwork, cross
from raymm.nn.linear import linear
from raymm.ratings.table import RatingTable


@dataclass(frozen=True, eq=False)
class SourceTables:
    """What is known of the source domain.

    Attributes:
        users: (source users, D) float32.
        source_items: (source items + 1, D) float32; the last row is that of missing items.
        histories: (source users, L) int64 rows of `source_items`.
    """

    users: torch.Tensor
    source_items: torch.Tensor
    histories: torch.Tensor


class LinearBridge(nn.Module):
    """One linear map without bias for everybody.

    Source: Man et al., "Cross-Domain Recommendation: An Embedding and Mapping Approach" (IJCAI 2017), its linear form.

    Args:
        users: (source users, D).
        generator: Source of the start values.
    """

    users: torch.Tensor

    def __init__(self, users: torch.Tensor, generator: torch.Generator) -> None:
        super().__init__()
        self.register_buffer("users", users, persistent=False)
        self.map = linear(users.shape[1], users.shape[1], generator, bias=False)

    def carried(self, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the one interest that source users (B,) have: (B, 1, D) each."""
        values = self.map(functional.embedding(people, self.users))[:, None]
        return torch.zeros_like(values), values

    def forward(self, people: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predict: (B,) source users and (B, D) item vectors to (B,)."""
        return picked(*self.carried(people), items)


class PersonalBridge(nn.Module):
    """A bridge a user, made from the source items he liked.

    Attention over the history, `softmax(h2 ReLU(h1 v))`, makes one vector of it, and a network of one hidden layer a
    D x D bridge of that.

    Source: Zhu et al., "Personalized Transfer of User Preferences for Cross-domain Recommendation" (arXiv 2110.11154),
    eqs. 4 to 8, trained by the ratings themselves (eq. 10).

    Args:
        tables: The source domain.
        hidden: Columns of the hidden layer.
        generator: Source of the start values.
    """

    users: torch.Tensor
    source_items: torch.Tensor
    histories: torch.Tensor

    def __init__(self, tables: SourceTables, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        width = tables.users.shape[1]
        for name in ("users", "source_items", "histories"):
            self.register_buffer(name, getattr(tables, name), persistent=False)
        self.inner, self.outer = linear(width, width, generator), linear(width, 1, generator, bias=False)
        self.meta = MetaNetwork(width, hidden, generator)

    def summary(self, people: torch.Tensor) -> torch.Tensor:
        """Return the histories of source users (B,) in one vector each: (B, D), zeros of an empty one."""
        histories = functional.embedding(people, self.histories)
        items = functional.embedding(histories, self.source_items)
        present = histories < len(self.source_items) - 1
        scores = self.outer(torch.relu(self.inner(items))).squeeze(2).masked_fill(~present, -1e9)
        return torch.einsum("bl,bld->bd", scores.softmax(dim=1) * present, items)

    def carried(self, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the one interest that source users (B,) have: (B, 1, D) each."""
        users = functional.embedding(people, self.users)
        values = cross(users, self.meta(self.summary(people))[:, None])
        return torch.zeros_like(values), values

    def forward(self, people: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predict: (B,) source users and (B, D) item vectors to (B,)."""
        return picked(*self.carried(people), items)


class MultiInterestBridge(nn.Module):
    """An interest for each path from the user, a bridge for each interest; the item picks among them.

    Source: Sun et al., "REMIT: Reinforced Multi-Interest Transfer for Cross-Domain Recommendation" (AAAI 2023).

    Differs from the source: see `models.rating.published.Published`.

    Args:
        tables: The source domain.
        source: Its ratings, along which the longer path goes.
        hidden: Columns of the hidden layer.
        generator: Source of the start values.
    """

    beyond: torch.Tensor

    def __init__(self, tables: SourceTables, source: RatingTable, hidden: int, generator: torch.Generator) -> None:
        super().__init__()
        width = tables.users.shape[1]
        self.near = PersonalBridge(tables, hidden, generator)
        self.far = MetaNetwork(width, hidden, generator)
        self.keys = linear(width, width, generator)
        self.register_buffer("beyond", _beyond(source, tables.source_items[:-1]), persistent=False)

    def carried(self, people: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return keys and values of the interests of source users (B,): (B, K, D) each."""
        users, beyond = (functional.embedding(people, table) for table in (self.near.users, self.beyond))
        values = torch.cat([self.near.carried(people)[1], cross(users, self.far(beyond)[:, None])], dim=1)
        return self.keys(values), values

    def forward(self, people: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predict: (B,) source users and (B, D) item vectors to (B,)."""
        return picked(*self.carried(people), items)


def picked(keys: torch.Tensor, values: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
    """Let items pick among interests, `sum_k softmax_k <v, key_k> <v, value_k>`: (B, K, D) twice, (B, D) to (B,)."""
    weights = torch.einsum("bd,bkd->bk", items, keys).softmax(dim=1)
    return (weights * torch.einsum("bd,bkd->bk", items, values)).sum(dim=1)


def _beyond(source: RatingTable, items: torch.Tensor) -> torch.Tensor:
    """Return what those like who liked what a user liked, in the mean: (source users, D)."""
    liked = source.ratings >= source.mean
    shape = (source.n_users, source.n_items)
    steps = sparse.csr_array((np.ones(int(liked.sum())), (source.users[liked], source.items[liked])), shape=shape)
    to_items, to_users = _row_means(steps), _row_means(sparse.csr_array(steps.T))
    reached = to_items @ (to_users @ (to_items @ items.double().numpy()))
    return torch.from_numpy(np.ascontiguousarray(reached, dtype=np.float32))


def _row_means(matrix: sparse.csr_array) -> sparse.csr_array:
    sums = np.asarray(matrix.sum(axis=1)).reshape(-1)
    return sparse.csr_array(sparse.diags_array(1.0 / np.maximum(sums, 1.0)) @ matrix)


Bridge = LinearBridge | PersonalBridge | MultiInterestBridge
"""Each has `carried`, what users are in the target domain, and predicts pairs by it."""
