"""Factorisation by steps: it learns what is planted, and rows without ratings keep their start."""

from __future__ import annotations

import numpy as np
import torch

from raymm.contracts import Batch
from raymm.ratings.pretraining import PretrainConfig, factorisation_stage
from tests.ratings.toys import random_table


def test_the_loss_is_the_mean_squared_error_and_its_gradient_touches_its_rows_only() -> None:
    table = random_table()
    stage, network = factorisation_stage("a", table, PretrainConfig(width=3), torch.Generator().manual_seed(0))
    rows = torch.tensor([0, 5, 9])
    loss = stage.model(Batch((), 0, rows))["loss"]
    users, items = network.users.detach().numpy(), network.items.detach().numpy()
    predicted = np.einsum("nd,nd->n", users[table.users[rows]], items[table.items[rows]])
    assert abs(loss.item() - np.mean((predicted - table.ratings[rows]) ** 2)) < 1e-4
    loss.backward()
    assert network.users.grad.is_sparse
    assert set(network.users.grad.coalesce().indices()[0].tolist()) == set(table.users[rows].tolist())
    assert set(stage.tables()) == {"users", "items"}
    assert stage.training.rows == len(table.users)
