"""Published bridges against their equations by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.models.rating.bridges import LinearBridge, MultiInterestBridge, PersonalBridge, SourceTables, picked
from tests.ratings.toys import table

D = 3


def _tables():
    generator = torch.Generator().manual_seed(0)
    histories = torch.tensor([[0, 1, 4], [4, 4, 4], [3, 4, 4]])
    items = torch.cat([torch.randn(4, D, generator=generator), torch.zeros(1, D)])
    return SourceTables(torch.randn(3, D, generator=generator), items, histories)


def test_a_linear_bridge_is_a_matrix() -> None:
    tables = _tables()
    bridge = LinearBridge(tables.users, torch.Generator().manual_seed(0))
    items = torch.randn(2, D)
    people = torch.tensor([2, 0])
    expected = ((tables.users[people] @ bridge.map.weight.T) * items).sum(dim=1)
    assert torch.allclose(bridge(people, items), expected, atol=1e-6)


def test_a_personal_bridge_attends_to_the_items_there_are() -> None:
    tables = _tables()
    bridge = PersonalBridge(tables, 5, torch.Generator().manual_seed(0))
    found = bridge.summary(torch.arange(3))
    scores = torch.stack([bridge.outer(torch.relu(bridge.inner(tables.source_items[i]))) for i in (0, 1)]).softmax(
        dim=0
    )
    assert torch.allclose(found[0], (scores * tables.source_items[:2]).sum(dim=0), atol=1e-6)
    assert found[1].abs().sum() == 0
    assert torch.allclose(found[2], tables.source_items[3])
    items = torch.randn(3, D)
    carried = torch.stack([tables.users[u] @ bridge.meta(found[u]) for u in range(3)])
    assert torch.allclose(bridge(torch.arange(3), items), (carried * items).sum(dim=1), atol=1e-5)


def test_the_longer_path_leads_to_what_admirers_like() -> None:
    tables = _tables()
    source = table([(0, 0, 5), (0, 1, 5), (1, 1, 5), (1, 2, 5), (2, 3, 1)], 3, 4)
    bridge = MultiInterestBridge(tables, source, 5, torch.Generator().manual_seed(0))
    steps = np.array([[1, 1, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]], dtype=float)
    rows = steps / np.maximum(steps.sum(axis=1, keepdims=True), 1)
    columns = (steps / np.maximum(steps.sum(axis=0), 1)).T
    expected = rows @ columns @ rows @ tables.source_items[:4].numpy()
    assert bridge.beyond.numpy() == pytest.approx(expected, abs=1e-6)
    keys, values = bridge.carried(torch.arange(3))
    assert keys.shape == values.shape == (3, 2, D)


def test_one_interest_is_picked_whatever_its_key() -> None:
    values, items = torch.randn(4, 1, D), torch.randn(4, D)
    assert torch.allclose(picked(torch.randn(4, 1, D), values, items), (values[:, 0] * items).sum(dim=1), atol=1e-6)
