"""Matrix factorisation of whole ratings by steps, as cross-domain models are published on top of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from raymm.config import check, setting
from raymm.ratings.stage import RowModel, Stage, StageTraining
from raymm.ratings.table import RatingTable


@dataclass(frozen=True)
class PretrainConfig:
    """Matrix factorisation of each domain by itself, as published: no biases, no mean."""

    width: int = setting(10, "columns of an embedding", ge=1)
    epochs: int = setting(10, "epochs of each domain", ge=1)
    batch_size: int = setting(256, "ratings a step", ge=1)
    learning_rate: float = setting(0.01, "learning rate of Adam on the rows of a step", gt=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


class Factorisation(nn.Module):
    """Two tables whose rows' inner products are ratings; gradients are sparse, so a step costs its rows only.

    Source: Koren, Bell, Volinsky, "Matrix Factorization Techniques for Recommender Systems" (Computer 2009), eq. 1,
    without regulariser; as in the published codes of PTUPCDR (arXiv 2110.11154) and MIMNet (arXiv 2408.00038).

    Args:
        n_users: Users.
        n_items: Items.
        width: D.
        generator: Start values, N(0, 1): users and items without a rating keep them.
    """

    def __init__(self, n_users: int, n_items: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.users = nn.Parameter(torch.randn(n_users, width, generator=generator))
        self.items = nn.Parameter(torch.randn(n_items, width, generator=generator))

    def forward(self, users: torch.Tensor, items: torch.Tensor) -> torch.Tensor:
        """Predict pairs, both (B,): (B,)."""
        left = functional.embedding(users, self.users, sparse=True)
        right = functional.embedding(items, self.items, sparse=True)
        return (left * right).sum(dim=1)


def factorisation_stage(
    name: str, table: RatingTable, config: PretrainConfig, generator: torch.Generator
) -> tuple[Stage, Factorisation]:
    """Prepare the factorisation of one table of ratings: `min mean (r - <u, v>)^2`.

    Returns:
        The stage, and the module that holds the tables when it is done.
    """
    network = Factorisation(table.n_users, table.n_items, config.width, generator)
    users, items = torch.from_numpy(table.users), torch.from_numpy(table.items)
    loss = squared_error(lambda rows: network(users[rows], items[rows]), table.ratings)
    training = StageTraining(len(table.users), config.batch_size, config.learning_rate, config.epochs)

    def tables() -> dict[str, torch.Tensor]:
        return {"users": network.users.detach(), "items": network.items.detach()}

    return Stage(name, tables, RowModel(network, loss, sparse=True), training), network


def squared_error(
    predict: Callable[[torch.Tensor], torch.Tensor], wanted: np.ndarray
) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return the mean squared error of numbered rows.

    Args:
        predict: Rows (B,) to predictions (B,).
        wanted: (n,) what is predicted.
    """
    truth = torch.from_numpy(np.ascontiguousarray(wanted, dtype=np.float32))
    return lambda rows: functional.mse_loss(predict(rows), truth[rows])
