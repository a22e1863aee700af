"""Bridges made from interests, against products by hand."""

from __future__ import annotations

import torch

from raymm.nn.bridges import MetaNetwork, cross


def test_a_bridge_is_the_two_layers_by_hand() -> None:
    network = MetaNetwork(3, 7, torch.Generator().manual_seed(0))
    interests = torch.randn(2, 4, 3)
    hidden = (interests @ network.inner.weight.T + network.inner.bias).clamp_min(0)
    expected = (hidden @ network.outer.weight.T + network.outer.bias).reshape(2, 4, 3, 3)
    assert torch.allclose(network(interests), expected, atol=1e-6)


def test_users_cross_each_bridge_as_rows() -> None:
    users, bridges = torch.randn(2, 3), torch.randn(2, 4, 3, 3)
    carried = cross(users, bridges)
    for row in range(2):
        for interest in range(4):
            assert torch.allclose(carried[row, interest], users[row] @ bridges[row, interest], atol=1e-6)


def test_the_identity_start_changes_hardly_anything() -> None:
    network = MetaNetwork(3, 7, torch.Generator().manual_seed(0), identity=True)
    users = torch.randn(2, 3)
    carried = cross(users, network(torch.rand(2, 4, 3)))
    assert torch.allclose(carried, users[:, None].expand(-1, 4, -1), atol=0.05)
