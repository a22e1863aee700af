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


def test_two_interests_learn_what_one_cannot() -> None:
    """People like what is near the nearer of two directions; their vectors are all alike, only histories tell."""
    draws = torch.Generator().manual_seed(0)
    people, width = 200, 4
    source, items = (torch.nn.functional.normalize(torch.randn(n, width, generator=draws), dim=1) for n in (400, 100))
    tastes = torch.nn.functional.normalize(torch.randn(people, 2, width, generator=draws), dim=2)
    histories = (tastes @ source.T).topk(5, dim=2).indices.reshape(people, 10)
    ratings = 2 * (tastes @ items.T).amax(dim=1)
    padded = torch.cat([2 * source, torch.zeros(1, width)])
    nothing = torch.zeros(len(items), dtype=torch.int64)
    tables = FrozenTables(torch.ones(people, width), padded, histories, items, items[:1], nothing)
    missed = {}
    for interests in (1, 2):
        settings = replace(DEFAULT.network, interests=interests, granularity="fine", identity=False)
        network = MimnetNet(settings, tables, torch.Generator().manual_seed(0))
        optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
        for _ in range(250):
            users, rated = (torch.randint(0, n, (256,), generator=draws) for n in (people - 60, len(items)))
            optimizer.zero_grad()
            (network(users, items[rated], rated) - ratings[users, rated]).square().mean().backward()
            optimizer.step()
        rated = torch.arange(len(items)).repeat(60)
        with torch.no_grad():
            found = network(torch.arange(people - 60, people).repeat_interleave(len(items)), items[rated], rated)
        missed[interests] = float((found - ratings[-60:].ravel()).square().mean() / ratings.var())
    assert missed[2] < 0.5 * missed[1]


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
