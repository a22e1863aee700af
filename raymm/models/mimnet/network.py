"""MIMNet's network: interests of a source history, a bridge for each, and attention guided by the target item."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from raymm.models.mimnet.config import NetworkConfig
from raymm.nn.bridges import MetaNetwork, cross
from raymm.nn.capsules import CapsuleLayer
from raymm.nn.target_attention import TargetAttention


@dataclass(frozen=True, eq=False)
class FrozenTables:
    """What was trained before the network, and stays as it is.

    Attributes:
        users: (source users, D) float32.
        source_items: (source items + 1, D) float32; the last row is that of missing items.
        histories: (source users, L) int64 rows of `source_items`.
        items: (target items, D) float32.
        prototypes: (C, D) float32, of unit length.
        cluster: (target items,) int64, each item's prototype.
    """

    users: torch.Tensor
    source_items: torch.Tensor
    histories: torch.Tensor
    items: torch.Tensor
    prototypes: torch.Tensor
    cluster: torch.Tensor


@dataclass(frozen=True, eq=False)
class UserSide:
    """What the network knows of users once their histories are read; K interests each.

    Attributes:
        interests: (B, K, D) capsules.
        transferred: (B, K, D) the users carried over each bridge.
    """

    interests: torch.Tensor
    transferred: torch.Tensor


class MimnetNet(nn.Module):
    """Predicts `<u(v), v>`: the user as this item's query sees him, times the item.

    Source: MIMNet (arXiv 2408.00038). Tables are buffers that rows are looked up in: they are neither parameters nor
    copied, so nothing can train them.

    Differs from the source: histories are masked by their length, with a row of their own for missing items (the
    published code reads one item of each history, and pads with the number of a real item); any width; and K = 1 or no
    meta network are settings.

    Args:
        config: Settings.
        tables: What was trained before.
        generator: Source of the start values.
    """

    users: torch.Tensor
    source_items: torch.Tensor
    histories: torch.Tensor
    items: torch.Tensor
    prototypes: torch.Tensor
    cluster: torch.Tensor

    def __init__(self, config: NetworkConfig, tables: FrozenTables, generator: torch.Generator) -> None:
        super().__init__()
        width = tables.users.shape[1]
        self._draws = generator
        for name in ("users", "source_items", "histories", "items", "prototypes", "cluster"):
            self.register_buffer(name, getattr(tables, name), persistent=False)
        self._random_empty = config.empty_history == "random"
        self.capsules = CapsuleLayer(
            width,
            config.interests,
            tables.histories.shape[1],
            config.iterations,
            generator,
            config.routing,
            config.compat_padding,
        )
        self.meta = MetaNetwork(width, config.hidden, generator, config.identity) if config.meta else None
        if not config.meta:
            self.bridge = nn.Parameter(torch.eye(width))
        self.attention = TargetAttention(width, generator, config.granularity, config.identity)

    def user_side(self, users: torch.Tensor) -> UserSide:
        """Read the histories of source users (B,)."""
        return self.read(functional.embedding(users, self.users), functional.embedding(users, self.histories))

    def read(self, users: torch.Tensor, histories: torch.Tensor) -> UserSide:
        """Read histories (B, L) of users with vectors (B, D), who need not be in the tables."""
        missing = len(self.source_items) - 1
        present = histories != missing
        if self._random_empty:  # the published code takes an untrained item for the whole of an empty history
            present[:, 0] |= ~present.any(dim=1)
        interests = self.capsules(functional.embedding(histories, self.source_items), present, self._draws)
        bridges = self.bridge.expand(*interests.shape[:2], -1, -1) if self.meta is None else self.meta(interests)
        return UserSide(interests, cross(users, bridges))

    def forward(self, users: torch.Tensor, vectors: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predict: (B,) source users, (B, D) vectors of target items, and the items (B,) themselves, to (B,).

        The vectors are arguments, as a training row meets the vector that its item has without that row.
        """
        prototypes = functional.embedding(
            functional.embedding(items, self.cluster[:, None]).squeeze(1), self.prototypes
        )
        mixed = self.attention(self.user_side(users).transferred, vectors, prototypes)
        return torch.einsum("bd,bd->b", mixed, vectors)
