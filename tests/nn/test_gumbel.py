"""Learned memberships against the definition, and what collapse looks like."""

import numpy as np
import pytest
import torch
from torch.nn.functional import one_hot

from raymm.nn.gumbel import GumbelClusters, effective_share
from raymm.parallel.grid import single


def _clusters(temperature=0.3):
    generator = torch.Generator().manual_seed(0)
    points = torch.nn.functional.normalize(torch.randn(30, 6, generator=generator))
    return points, GumbelClusters(points, points[:4], temperature, single())


def test_propagation_equals_its_definition():
    points, clusters = _clusters()
    gamma = clusters.memberships().detach().double().numpy()
    expected = np.exp(points.double().numpy() @ points[:4].double().numpy().T / 0.3)
    np.testing.assert_allclose(gamma, expected / expected.sum(1, keepdims=True), atol=1e-6)
    items = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    dense = gamma @ np.diag(1 / gamma.sum(0)) @ gamma.T
    np.testing.assert_allclose(clusters(items, 2).detach().numpy(), dense @ dense @ items.double().numpy(), atol=1e-5)
    np.testing.assert_allclose(clusters(torch.ones(30, 1), 1).detach().numpy(), 1, atol=1e-5)


def test_noise_draws_clusters_by_their_probability_and_hangs_on_the_seed():
    _, clusters = _clusters(temperature=1.0)
    expected = clusters.memberships().detach()[0]
    drawn = torch.stack([clusters.memberships(seed)[0].argmax() for seed in range(3000)])
    shares = one_hot(drawn, 4).double().mean(dim=0)
    np.testing.assert_allclose(shares.numpy(), expected.numpy(), atol=0.04)
    torch.testing.assert_close(clusters.memberships(5), clusters.memberships(5), rtol=0, atol=0)


def test_memberships_learn():
    _, clusters = _clusters()
    clusters(torch.randn(30, 3), 1, seed=1).square().sum().backward()
    assert clusters.weight.grad.abs().max() > 0


def test_an_empty_cluster_takes_no_part():
    points, clusters = _clusters()
    points = points.abs()
    weight = torch.cat([points[:4], torch.full((1, 6), -300.0)])  # nobody's cluster: all memberships underflow
    whole, without = (GumbelClusters(points, centres, 0.3, single()) for centres in (weight, weight[:4]))
    assert (whole.memberships()[:, 4] == 0).all()
    items = torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    found, expected = whole(items, 2, seed=1), without(items, 2)
    assert found.isfinite().all()
    torch.testing.assert_close(whole(items, 2), expected)
    inputs = items.clone().requires_grad_()
    whole(inputs, 2).square().sum().backward()
    without(items, 2).square().sum().backward()
    assert inputs.grad.isfinite().all()
    torch.testing.assert_close(whole.weight.grad[:, :4], without.weight.grad)
    assert (whole.weight.grad[:, 4] == 0).all()


@pytest.mark.parametrize("logit", [-86.0, -88.0, -92.0, -100.0, -104.0])
def test_hardly_any_mass_is_no_trouble(logit):
    points = torch.ones(30, 1)
    clusters = GumbelClusters(points, torch.tensor([[0.0], [0.1], [logit]]), 1.0, single())
    items = 10 * torch.randn(30, 3, generator=torch.Generator().manual_seed(1))
    inputs = items.clone().requires_grad_()
    found = clusters(inputs, 2)
    found.square().sum().backward()
    for values in (found, inputs.grad, clusters.weight.grad):
        assert values.isfinite().all()


def test_the_effective_share_sees_both_kinds_of_collapse():
    apart = one_hot(torch.arange(40) % 4).float()
    assert effective_share(apart) == pytest.approx(1)
    assert effective_share(torch.full((40, 4), 0.25)) == pytest.approx(0.25)
    assert effective_share(one_hot(torch.zeros(40, dtype=torch.int64), 4).float()) == pytest.approx(0.25)
