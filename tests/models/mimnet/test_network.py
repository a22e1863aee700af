"""The network: its size, what it leaves alone, and what padding and parity switches do."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raymm.models.mimnet.config import COMPAT, DEFAULT
from raymm.models.mimnet.network import FrozenTables, MimnetNet

S, N, T, D, L = 7, 12, 9, 10, 5


def _tables(width=D):
    generator = torch.Generator().manual_seed(1)
    histories = torch.randint(0, N, (S, L), generator=generator)
    histories[0, 2:], histories[1] = N, N
    return FrozenTables(
        torch.randn(S, width, generator=generator),
        torch.randn(N + 1, width, generator=generator),
        histories,
        torch.randn(T, width, generator=generator),
        torch.nn.functional.normalize(torch.randn(3, width, generator=generator), dim=1),
        torch.randint(0, 3, (T,), generator=generator),
    )


def _network(settings=DEFAULT.network, width=D, seed=0):
    return MimnetNet(settings, _tables(width), torch.Generator().manual_seed(seed))


USERS, ITEMS = torch.tensor([0, 2, 3]), torch.tensor([8, 0, 4])


@pytest.mark.parametrize("interests", [1, 3, 7])
def test_there_are_as_many_parameters_as_published_whatever_the_interests(interests: int) -> None:
    network = _network(replace(COMPAT.network, interests=interests))
    assert sum(parameter.numel() for parameter in network.parameters()) == 6_211


@pytest.mark.parametrize("width", [4, 16])
def test_any_width_predicts(width: int) -> None:
    network = _network(width=width)
    assert network(USERS, network.items[ITEMS], ITEMS).shape == (3,)


def test_training_leaves_the_tables_bit_by_bit_and_shares_their_memory() -> None:
    tables = _tables()
    network = MimnetNet(DEFAULT.network, tables, torch.Generator().manual_seed(0))
    assert network.users.data_ptr() == tables.users.data_ptr()
    before = {name: value.clone() for name, value in network.named_buffers()}
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    for _ in range(3):
        optimizer.zero_grad()
        (network(USERS, network.items[ITEMS], ITEMS) - 4).square().mean().backward()
        optimizer.step()
    assert all(
        parameter.grad.abs().sum() > 0 for name, parameter in network.named_parameters() if "keys.bias" not in name
    )
    for name, value in network.named_buffers():
        assert torch.equal(value, before[name]), name


def test_the_identity_start_is_the_inner_product() -> None:
    network = _network()
    predicted = network(USERS, network.items[ITEMS], ITEMS)
    expected = (network.users[USERS] * network.items[ITEMS]).sum(dim=1)
    assert torch.allclose(predicted, expected, atol=0.3)
    assert (predicted - expected).abs().max() < 0.2 * expected.abs().max()


def test_without_the_meta_network_there_is_one_bridge() -> None:
    network = _network(replace(DEFAULT.network, meta=False))
    side = network.user_side(USERS)
    assert torch.equal(side.transferred, network.users[USERS][:, None].expand(-1, 3, -1))


def test_an_empty_history_has_no_interest_unless_it_is_the_published_random_item() -> None:
    empty = torch.tensor([1])
    assert _network().user_side(empty).interests.abs().sum() == 0
    published = _network(replace(DEFAULT.network, empty_history="random"))
    assert published.user_side(empty).interests.abs().sum() > 0
    assert published.histories[1].tolist() == [N] * L
    assert torch.equal(published.user_side(USERS).interests, _network().user_side(USERS).interests)


def test_compatible_padding_changes_short_histories_only() -> None:
    ours, published = _network(), _network(replace(DEFAULT.network, compat_padding=True))
    short, full = torch.tensor([0]), torch.tensor([2])
    assert torch.equal(ours.user_side(full).interests, published.user_side(full).interests)
    assert not torch.allclose(ours.user_side(short).interests, published.user_side(short).interests)
