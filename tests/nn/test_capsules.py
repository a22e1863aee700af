"""Capsules against a loop, and against what padding and order may not change."""

from __future__ import annotations

import pytest
import torch

from raymm.nn.capsules import CapsuleLayer, coupling, effective_number, pairwise_cosines, squash

B, K, L, D = 3, 4, 6, 5


def _generator(seed=0):
    return torch.Generator().manual_seed(seed)


def _histories():
    rows = torch.randn(B, L, D, generator=_generator(1))
    present = torch.arange(L)[None] < torch.tensor([6, 3, 1])[:, None]
    return rows, present


def _by_loop(mapped, length, logits, iterations):
    """One history of `length` items, as the procedure is written down."""
    logits = logits.clone()
    for turn in range(iterations):
        weights = [[float(torch.exp(logits[k, place])) for place in range(length)] for k in range(len(logits))]
        totals = [sum(row[place] for row in weights) for place in range(length)]
        sums = [sum(weights[k][p] / totals[p] * mapped[p] for p in range(length)) for k in range(len(logits))]
        interests = torch.stack([squash(one) for one in sums])
        if turn < iterations - 1:
            for k in range(len(logits)):
                for place in range(length):
                    logits[k, place] += interests[k] @ mapped[place]
    return interests


def test_squash_shortens_and_keeps_directions() -> None:
    rows = torch.randn(50, D, generator=_generator()) * 3
    short = squash(rows)
    lengths = short.norm(dim=1)
    assert (lengths < 1).all()
    assert torch.allclose(torch.cosine_similarity(rows, short), torch.ones(50))
    assert squash(torch.zeros(D)).abs().sum() == 0
    assert squash(torch.eye(D)[0]).norm() == pytest.approx(0.5, abs=1e-6)
    order = rows.norm(dim=1).argsort()
    assert (lengths[order].diff() > 0).all()


def test_coupling_shares_each_item_out_once() -> None:
    logits, (_, present) = torch.randn(B, K, L, generator=_generator()), _histories()
    weights = coupling(logits, present)
    assert torch.allclose(weights.sum(dim=1), present.float())
    published = coupling(logits, present, compat_padding=True)
    assert torch.allclose(published.transpose(1, 2)[~present], torch.full((int((~present).sum()), K), 1 / K))
    assert torch.equal(published.transpose(1, 2)[present], weights.transpose(1, 2)[present])
    assert torch.equal(coupling(logits[:, :1], present), present[:, None].float())


@pytest.mark.parametrize("iterations", [1, 2, 3, 5])
def test_routing_is_that_of_a_loop(iterations: int) -> None:
    rows, present = _histories()
    layer = CapsuleLayer(D, K, L, iterations, _generator())
    found = layer(rows, present)
    for row, length in enumerate([6, 3, 1]):
        expected = _by_loop((rows @ layer.mapping)[row].detach(), length, layer.routing, iterations)
        assert torch.allclose(found[row], expected, atol=1e-6)


def test_padding_changes_nothing_unless_compatible() -> None:
    rows, present = _histories()
    logits = torch.randn(B, K, L, generator=_generator(2))
    more = torch.cat([rows, torch.randn(B, 2, D, generator=_generator(3))], dim=1)
    shown, wider = torch.cat([present, torch.zeros(B, 2, dtype=torch.bool)], dim=1), torch.zeros(B, K, L + 2)
    wider[:, :, :L] = logits
    own, published = (CapsuleLayer(D, K, L, 3, _generator(), compat_padding=compat) for compat in (False, True))
    assert torch.allclose(own.route(rows, present, logits), own.route(more, shown, wider), atol=1e-6)
    assert not torch.allclose(published.route(rows, present, logits), published.route(more, shown, wider), atol=1e-3)


def test_order_counts_with_its_logits_only() -> None:
    rows, present = _histories()
    logits = torch.randn(B, K, L, generator=_generator(2))
    order = torch.randperm(L, generator=_generator(4))
    layer = CapsuleLayer(D, K, L, 3, _generator())
    turned = layer.route(rows[:, order], present[:, order], logits[:, :, order])
    assert torch.allclose(layer.route(rows, present, logits), turned, atol=1e-6)


def test_gradients_flow_through_the_last_round_only() -> None:
    rows, present = _histories()
    layer = CapsuleLayer(D, K, L, 3, _generator())
    layer(rows, present).square().sum().backward()
    mapped = (rows @ layer.mapping).detach()
    logits = layer.routing.expand(B, -1, -1)
    for _ in range(2):
        logits = logits + squash(coupling(logits, present) @ mapped) @ mapped.transpose(1, 2)
    mapping = layer.mapping.detach().clone().requires_grad_()
    squash(coupling(logits, present) @ (rows @ mapping)).square().sum().backward()
    assert torch.allclose(layer.mapping.grad, mapping.grad, atol=1e-5)


def test_fixed_routing_repeats_and_random_routing_draws() -> None:
    rows, present = _histories()
    fixed = CapsuleLayer(D, K, L, 3, _generator())
    drawn = CapsuleLayer(D, K, L, 3, _generator(), start="random")
    assert torch.equal(fixed(rows, present), fixed(rows, present))
    first = drawn(rows, present, _generator(7))
    assert torch.equal(first, drawn(rows, present, _generator(7)))
    assert not torch.allclose(first, drawn(rows, present, _generator(8)))


def test_distinctness_of_known_sets() -> None:
    same, different = torch.ones(1, 3, 4), torch.eye(4)[None, :3]
    assert effective_number(torch.cat([same, different])).tolist() == pytest.approx([1, 3])
    assert pairwise_cosines(torch.cat([same, different])).tolist() == [pytest.approx([1] * 3), pytest.approx([0] * 3)]
