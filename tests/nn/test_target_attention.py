"""Attention of items over interests, against sums by hand and what may not matter."""

from __future__ import annotations

import pytest
import torch

from raymm.nn.target_attention import InterestAttention, TargetAttention

B, K, D = 4, 3, 5


def _inputs():
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(*shape, generator=generator) for shape in ((B, K, D), (B, D), (B, D)))


def _attention(granularity="both", identity=False):
    return TargetAttention(D, torch.Generator().manual_seed(0), granularity, identity)


def test_the_mixture_is_the_sum_by_hand() -> None:
    interests, items, _ = _inputs()
    attention = InterestAttention(D, torch.Generator().manual_seed(0))
    weights = attention.weights(items, interests)
    assert torch.allclose(weights.sum(dim=1), torch.ones(B))
    for row in range(B):
        chances = torch.stack([items[row] @ attention.keys(one) for one in interests[row]]).softmax(dim=0)
        expected = sum(chance * attention.values(one) for chance, one in zip(chances, interests[row], strict=True))
        assert torch.allclose(attention(items, interests)[row], expected, atol=1e-6)


def test_one_interest_leaves_nothing_to_ask() -> None:
    interests, items, prototypes = _inputs()
    attention = InterestAttention(D, torch.Generator().manual_seed(0))
    assert torch.allclose(attention(items, interests[:, :1]), attention(prototypes, interests[:, :1]))


def test_alpha_lies_between_and_is_nothing_where_both_are_one() -> None:
    interests, items, prototypes = _inputs()
    attention = _attention()
    share = attention.share(items, prototypes)
    assert ((share > 0) & (share < 1)).all()
    attention.coarse.load_state_dict(attention.fine.state_dict())
    same = attention(interests, items, items)
    with torch.no_grad():
        attention.fusion.bias += 5
    assert torch.allclose(attention(interests, items, items), same, atol=1e-6)


def test_with_identity_bridges_the_fine_mixture_is_the_mapped_user() -> None:
    _, items, prototypes = _inputs()
    user = torch.randn(B, D)
    attention = _attention("fine")
    interests = user[:, None].expand(-1, K, -1)
    assert torch.allclose(attention(interests, items, prototypes), attention.fine.values(user), atol=1e-6)
    assert torch.allclose(_attention(identity=True)(interests, items, prototypes), user, atol=1e-6)


@pytest.mark.parametrize(("granularity", "share"), [("fine", 0.0), ("coarse", 1.0), ("mean", 0.5)])
def test_parts_can_be_left_out(granularity: str, share: float) -> None:
    interests, items, prototypes = _inputs()
    attention = _attention(granularity)
    assert attention.share(items, prototypes).tolist() == [share] * B
    parts = [
        (weight * part(query, interests))
        for weight, part, query in ((1 - share, attention.fine, items), (share, attention.coarse, prototypes))
        if part is not None
    ]
    assert torch.allclose(attention(interests, items, prototypes), sum(parts), atol=1e-6)
