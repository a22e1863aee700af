from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.contracts import Feature
from raymm.errors import ConfigError
from raymm.models.baselines.freedom import ITEMS as GRAPH
from raymm.models.baselines.freedom import SPEC, FreedomConfig, build_structure, thinned
from tests.models.baselines.toy import ITEMS, USERS, dense_lightgcn, make, stored, toy_data

CONFIG = FreedomConfig(width=5, neighbours=4, dropped=0.6)


def _as_published(feature: Feature, k: int) -> np.ndarray:
    """Write ones at each item's k nearest of positive cosine, itself first, and normalise by the sums of both rows."""
    links = np.zeros((ITEMS, ITEMS))
    norms = np.linalg.norm(feature.values, axis=1)
    for i in np.flatnonzero(feature.present):
        cosines = feature.values @ feature.values[i] / (norms * norms[i])
        cosines[~feature.present] = -np.inf
        near = np.argsort(-cosines)[:k]
        links[i, near[cosines[near] > 0]] = 1
    degrees = np.maximum(links.sum(1), 1)
    return links / np.sqrt(degrees[:, None] * degrees[None, :])


def test_each_kept_neighbour_counts_one_before_normalising() -> None:
    domain = toy_data(missing=False).domains[0]
    found = build_structure(FreedomConfig(neighbours=4), domain, 0).matrices[GRAPH]
    expected = sum(_as_published(feature, 4) for feature in domain.features.values()) / 2
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)


def test_finished_embeddings_see_the_whole_graph_and_the_frozen_one() -> None:
    model = make(SPEC, CONFIG)
    model.start_epoch(1)
    features = toy_data().domains[0].features.values()
    mixed = torch.from_numpy(sum(_as_published(feature, 4) for feature in features) / 2)
    expected = dense_lightgcn(model, toy_data(), 2)
    expected[USERS:] += mixed @ model.items().detach().double()
    torch.testing.assert_close(stored(model), expected, rtol=1e-5, atol=1e-6)


def test_weights_mix_the_item_graphs() -> None:
    domain = toy_data().domains[0]
    found = build_structure(FreedomConfig(neighbours=4, modality_weights=(3.0, 1.0)), domain, 0).matrices[GRAPH]
    text, image = (_as_published(domain.features[name], 4) for name in ("text", "image"))
    expected = 0.75 * text + 0.25 * image
    np.testing.assert_allclose(found.toarray(), expected, rtol=1e-6)
    with pytest.raises(ConfigError, match="text, image"):
        build_structure(FreedomConfig(modality_weights=(1.0,)), domain, 0)


def test_each_epoch_thins_anew_and_rare_ends_survive_more_often() -> None:
    ratings = toy_data().domains[0].interactions
    draws = [thinned(ratings, 0.4, np.random.default_rng([0, epoch])) for epoch in range(400)]
    assert {draw.nnz for draw in draws} == {round(0.4 * ratings.nnz)}
    assert (draws[0] != draws[1]).nnz > 0
    edges = ratings.tocoo()
    users, items = edges.coords
    odds = (np.bincount(users)[users] * np.bincount(items)[items]) ** -0.5
    kept = np.mean([draw.toarray() for draw in draws], axis=0)[users, items]
    assert np.corrcoef(odds, kept)[0, 1] > 0.9
    model = make(SPEC, CONFIG)
    assert model.start_epoch(1)["edges"] == round(0.4 * ratings.nnz)


def test_without_dropping_the_graph_stays_whole() -> None:
    model = make(SPEC, FreedomConfig(width=5, neighbours=4, dropped=0.0, feature_weight=0.0))
    assert model.start_epoch(1)["edges"] == toy_data().domains[0].interactions.nnz
    assert [name for name, _ in model.named_parameters()] == ["users.weight", "items.weight"]
