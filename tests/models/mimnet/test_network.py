"""The network: its size, what it leaves alone, and what padding and parity switches do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

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


def _missed(tables: FrozenTables, ratings: torch.Tensor, steps: int, seed: int, **settings: Any) -> float:
    """Train on all but the last 60 people, and return the share of these people's variance that is not explained."""
    draws = torch.Generator().manual_seed(seed)
    network = MimnetNet(replace(DEFAULT.network, identity=False, **settings), tables, draws)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.01)
    people, items = ratings.shape
    for _ in range(steps):
        users, rated = (torch.randint(0, n, (256,), generator=draws) for n in (people - 60, items))
        optimizer.zero_grad()
        (network(users, tables.items[rated], rated) - ratings[users, rated]).square().mean().backward()
        optimizer.step()
    rated = torch.arange(items).repeat(60)
    with torch.no_grad():
        found = network(torch.arange(people - 60, people).repeat_interleave(items), tables.items[rated], rated)
    return float((found - ratings[-60:].ravel()).square().mean() / ratings.var())


def _two_tastes(draws: torch.Generator, people: int, width: int) -> tuple[torch.Tensor, FrozenTables]:
    """Two directions that each of the people likes, and their histories: five source items near each direction.

    Their vectors are all alike, so that only histories tell; the target is left empty.
    """
    unit = torch.nn.functional.normalize
    source = unit(torch.randn(400, width, generator=draws), dim=1)
    tastes = unit(torch.randn(people, 2, width, generator=draws), dim=2)
    histories = (tastes @ source.T).topk(5, dim=2).indices.reshape(people, 10)
    padded = torch.cat([2 * source, torch.zeros(1, width)])
    none = torch.zeros(0, width)
    return tastes, FrozenTables(torch.ones(people, width), padded, histories, none, none, torch.zeros(0).long())


def test_two_interests_learn_what_one_cannot() -> None:
    """People like what is near the nearer of two directions."""
    draws = torch.Generator().manual_seed(0)
    tastes, tables = _two_tastes(draws, 200, 4)
    items = torch.nn.functional.normalize(torch.randn(100, 4, generator=draws), dim=1)
    ratings = 2 * (tastes @ items.T).amax(dim=1)
    tables = replace(tables, items=items, prototypes=items[:1], cluster=torch.zeros(100, dtype=torch.int64))
    missed = {k: _missed(tables, ratings, 250, 0, interests=k, granularity="fine") for k in (1, 2)}
    assert missed[2] < 0.5 * missed[1]


def test_both_granularities_beat_either_where_item_vectors_are_noisy() -> None:
    """Of half of the kinds people like what is near the direction nearer to the item, of the others to the kind.

    Vectors scatter around their kinds, so that an item does not tell its kind, nor a kind its item.
    """
    unit = torch.nn.functional.normalize
    draws = torch.Generator().manual_seed(1)
    tastes, tables = _two_tastes(draws, 200, 6)
    kinds, cluster = unit(torch.randn(4, 6, generator=draws), dim=1), torch.arange(120) % 4
    items = unit(kinds[cluster] + 0.8 * torch.randn(120, 6, generator=draws), dim=1)
    liking, guide = tastes @ items.T, tastes @ torch.where((cluster % 2 == 0)[:, None], items, kinds[cluster]).T
    ratings = 2 * torch.where(guide[:, 0] > guide[:, 1], liking[:, 0], liking[:, 1])
    tables = replace(tables, items=items, prototypes=kinds, cluster=cluster)
    missed = {
        name: _missed(tables, ratings, 250, 1, interests=2, granularity=name) for name in ("fine", "coarse", "both")
    }
    assert missed["both"] < 0.9 * min(missed["fine"], missed["coarse"]), missed


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
