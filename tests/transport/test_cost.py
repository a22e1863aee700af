import math

import numpy as np
import pytest
import torch
from scipy.spatial import distance

from raymm.transport import cost


@pytest.fixture
def sides() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    make = lambda n: torch.randn(n, 6, generator=generator, dtype=torch.float64)  # noqa: E731
    return make(9), make(7)


def test_cosine_distance_agrees_with_scipy_and_zero_rows_are_at_one(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, y = sides
    found = cost.cosine_distance(x, y)
    np.testing.assert_allclose(found, distance.cdist(x, y, "cosine"), atol=1e-14)
    x[2] = 0.0
    assert cost.cosine_distance(x, y)[2].tolist() == [1.0] * 7


def test_jensen_shannon_agrees_with_scipy_also_with_zeros(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    r, q = (torch.softmax(3 * side, dim=1) for side in sides)
    r[0] = torch.tensor([1.0, 0, 0, 0, 0, 0], dtype=torch.float64)
    q[0] = torch.tensor([0, 1.0, 0, 0, 0, 0], dtype=torch.float64)
    found = cost.jensen_shannon(r, q)
    np.testing.assert_allclose(found, distance.cdist(r, q, "jensenshannon") ** 2, atol=1e-12)
    assert found[0, 0] == pytest.approx(math.log(2.0))


def test_hellinger_is_half_the_squared_distance_of_the_roots(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    r, q = (torch.softmax(side, dim=1) for side in sides)
    expected = 0.5 * distance.cdist(r.sqrt(), q.sqrt(), "sqeuclidean")
    np.testing.assert_allclose(cost.hellinger(r, q), expected, atol=1e-14)


def test_hellinger_follows_jensen_shannon(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    r, q = (torch.softmax(side, dim=1) for side in sides)
    joint = torch.stack([cost.hellinger(r, q).flatten(), cost.jensen_shannon(r, q).flatten()])
    assert float(torch.corrcoef(joint)[0, 1]) > 0.99


def test_relation_weights_follow_their_definition(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    x, _ = sides
    c = distance.cdist(x, x[:3], "cosine")
    for scale, divisor in (("fixed", 1.0), ("maximum", c.max())):
        weights = np.exp(-c / divisor / 0.1)
        found = cost.relation_weights(x, x[:3], 0.1, scale)  # type: ignore[arg-type]
        np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True), atol=1e-12)


@pytest.mark.parametrize("form", ["js", "hellinger", "profile"])
def test_relation_does_not_see_a_rotation_of_one_side(
    sides: tuple[torch.Tensor, torch.Tensor], form: cost.Relation
) -> None:
    x, y = sides
    turn, _ = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1)))
    anchors = torch.arange(4)
    straight = cost.relation_cost(x, y, anchors, form, 0.1, "fixed")
    turned = cost.relation_cost(x, y @ turn, anchors, form, 0.1, "fixed")
    torch.testing.assert_close(straight, turned, atol=1e-12, rtol=0)
    assert straight.std() > 1e-3  # it tells users apart
    assert straight.min() >= 0
    same = cost.relation_cost(x, x, anchors, form, 0.1, "fixed")
    torch.testing.assert_close(same.diagonal(), torch.zeros(9, dtype=torch.float64), atol=1e-9, rtol=0)


def test_profile_of_equal_points_has_no_direction() -> None:
    x = torch.ones(5, 3)
    assert cost.anchor_profile(x, x[:3]).abs().max() == 0
    assert cost.relation_cost(x, x, torch.arange(3), "profile", 0.1, "fixed").tolist() == [[1.0] * 5] * 5


def test_scale_maximum_divides_and_fixed_does_not(sides: tuple[torch.Tensor, torch.Tensor]) -> None:
    c = cost.cosine_distance(*sides)
    assert cost.scaled(c, "maximum").max() == 1.0
    assert cost.scaled(c, "fixed") is c
    assert cost.scaled(torch.zeros(2, 2), "maximum").tolist() == [[0, 0], [0, 0]]


def test_mask_spares_only_known_pairs_and_the_block_of_unknown_users() -> None:
    masked = cost.add_mask(torch.zeros(4, 3), 2, 5.0)
    assert masked.tolist() == [[0, 5, 5], [5, 0, 5], [5, 5, 0], [5, 5, 0]]
