"""The views of a domain against dense matrices."""

import dataclasses

import numpy as np
import pytest
import torch

from raymm.contracts import Domain, Feature
from raymm.graph.hypergraph import HypergraphConfig
from raymm.models.sieoug.config import DEFAULT, PAPER, SieougConfig, ViewsConfig
from raymm.models.sieoug.structure import HYPER, PAIR, build_structure
from raymm.models.sieoug.tower import Tower
from raymm.models.spec import Place
from raymm.parallel.grid import single
from tests.toy_data import checkerboard

PLACE = Place(single(), torch.device("cpu"), 0)
DOMAIN = checkerboard("toy", n_users=6, n_items=10)[0]
FULL = SieougConfig(
    width=5,
    item_input="multimodal",
    views=ViewsConfig(sides="both", hyper_weight=0.5, pair_weight=2.0, interaction_layers=2),
    hypergraph=HypergraphConfig(clusters=2),
)


def _tower(config, domain=DOMAIN):
    structure = build_structure(config, domain, 0)
    return Tower(config, domain, structure, PLACE, torch.Generator().manual_seed(1)), structure


def _dense(tower, structure):
    """Views by dense linear algebra from the definition."""
    interactions = DOMAIN.interactions.toarray().astype(np.float64)
    users = tower.users().detach().double().numpy()
    items = tower.items().detach().double().numpy()
    for feature, projection in zip(DOMAIN.features.values(), tower.projections, strict=True):
        items = items + feature.values @ projection().detach().double().numpy()
    n = len(users)
    whole = np.zeros((n + len(items),) * 2)
    whole[:n, n:], whole[n:, :n] = interactions, interactions.T
    degrees = whole.sum(1)
    normal = whole / np.sqrt(np.outer(degrees, degrees))
    start = np.vstack([users, items])
    h = (start + normal @ start + normal @ normal @ start) / 3
    pair = structure.matrices[PAIR].toarray() @ items
    gamma = structure.matrices[HYPER].toarray().astype(np.float64)
    hyper = gamma @ np.diag(1 / gamma.sum(0)) @ gamma.T @ items
    rows = interactions / interactions.sum(1, keepdims=True)
    return (h[:n], rows @ pair, rows @ hyper), (h[n:], pair, hyper)


def test_every_view_equals_its_definition():
    tower, structure = _tower(FULL)
    views = tower.views()
    for made, expected in zip((views.users, views.items), _dense(tower, structure), strict=True):
        assert len(made) == 3
        for view, dense in zip(made, expected, strict=True):
            np.testing.assert_allclose(view.detach().numpy(), dense, atol=1e-5)


def test_a_sum_adds_the_views_at_their_weights():
    tower, structure = _tower(FULL)
    users, items = _dense(tower, structure)
    found_users, found_items = tower.whole()
    np.testing.assert_allclose(found_users.numpy(), users[0] + 2 * users[1] + 0.5 * users[2], atol=1e-5)
    np.testing.assert_allclose(found_items.numpy(), items[0] + 2 * items[1] + 0.5 * items[2], atol=1e-5)
    rows = torch.tensor([3, 3, 0])
    torch.testing.assert_close(tower.item_rows(tower.views(), rows).detach(), found_items[rows])


def test_on_the_item_side_alone_users_keep_their_first_view():
    tower, _ = _tower(dataclasses.replace(FULL, views=ViewsConfig()))
    views = tower.views()
    assert (len(views.users), len(views.items)) == (1, 2)
    torch.testing.assert_close(tower.whole()[0], views.users[0].detach())


def test_attention_weights_sum_to_one_and_mix_rows():
    config = dataclasses.replace(PAPER, width=5, hypergraph=HypergraphConfig(clusters=2))
    tower, _ = _tower(config)
    views = tower.views()
    rows = torch.arange(10)
    weights = tower.item_attention(tuple(view[rows] for view in views.items))
    torch.testing.assert_close(weights.sum(1), torch.ones(10))
    mixed = sum(view[rows] * weights[:, place, None] for place, view in enumerate(views.items))
    torch.testing.assert_close(tower.item_rows(views, rows), mixed)
    means = tower.attention_means(views, rows)
    assert sum(means.values()) == pytest.approx(1, abs=1e-5)
    assert set(means) == {"interactions", "pair", "hyper"}
    torch.testing.assert_close(tower.attention_weights(), weights.detach())
    assert _tower(FULL)[0].attention_weights() is None


def test_a_missing_modality_adds_nothing_whatever_fills_its_place():
    present = np.ones(10, bool)
    present[4] = False
    made = []
    for fill in (0.0, 99.0):
        values = np.array(DOMAIN.features["a"].values)
        values[4] = fill
        domain = Domain("toy", DOMAIN.interactions, {"a": Feature(values, present), "b": DOMAIN.features["b"]})
        made.append(_tower(FULL, domain)[0].whole()[1])
    assert torch.equal(made[0], made[1])


def test_the_default_has_no_projections_and_fixed_weights():
    tower, _ = _tower(dataclasses.replace(DEFAULT, width=5))
    assert tower.projection_parameters() == []
    assert not tower.weights.requires_grad
    learned, _ = _tower(dataclasses.replace(DEFAULT, width=5, views=ViewsConfig(learned=True)))
    assert learned.weights.requires_grad


def test_items_without_a_modality_share_a_trained_vector_where_the_features_ask_for_it():
    present = np.ones(10, bool)
    present[[2, 7]] = False
    feature = Feature(np.array(DOMAIN.features["a"].values), present, learned=True)
    domain = Domain("toy", DOMAIN.interactions, {"a": feature, "b": DOMAIN.features["b"]})
    tower, _ = _tower(dataclasses.replace(FULL, views=ViewsConfig(interaction_layers=0, pair_weight=0.0)), domain)
    before = tower.whole()[1]
    with torch.no_grad():
        tower.absent[0].weight.add_(1.0)
    changed = (tower.whole()[1] - before).abs().amax(1)
    assert torch.nonzero(changed > 0.5)[:, 0].tolist() == [2, 7]
    assert len(tower.projection_parameters()) == 3
    assert len(_tower(FULL)[0].projection_parameters()) == 2


def test_learned_clusters_start_at_the_partition_and_have_noise_in_training_only():
    config = dataclasses.replace(FULL, hypergraph=HypergraphConfig(clusters=2, method="gumbel", temperature=0.05))
    tower, structure = _tower(config)
    gamma = tower.clusters.memberships().detach()
    partition = structure.matrices[HYPER].toarray()
    assert set(partition.ravel()) == {0, 1}
    np.testing.assert_array_equal(gamma.numpy().argmax(1), partition.argmax(1))
    items = tower.items().detach() + sum(
        torch.from_numpy(np.array(feature.values)) @ projection().detach()
        for feature, projection in zip(DOMAIN.features.values(), tower.projections, strict=True)
    )
    expected = gamma @ torch.diag(1 / gamma.sum(0)) @ gamma.T @ items
    torch.testing.assert_close(tower.views().items[2].detach(), expected, atol=1e-5, rtol=1e-4)
    assert not torch.equal(tower.views(3).items[2], tower.views().items[2])
    assert tower.learned_clusters() > 0.8
    tower.views(3).items[2].square().sum().backward()
    assert tower.clusters.weight.grad.abs().max() > 0
    assert _tower(FULL)[0].learned_clusters() is None


@pytest.mark.parametrize("method", ["transport", "kmeans", "gumbel"])
def test_a_single_cluster_gives_every_item_the_mean_of_all(method):
    config = dataclasses.replace(FULL, item_input="id", hypergraph=HypergraphConfig(clusters=1, method=method))
    tower, _ = _tower(config)
    mean = tower.items().detach().mean(0)
    torch.testing.assert_close(tower.views(1).items[2].detach(), mean.expand(10, -1), atol=1e-6, rtol=1e-5)
