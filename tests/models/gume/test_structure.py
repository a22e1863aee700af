from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from raymm.errors import DataError
from raymm.graph.adjacency import bipartite
from raymm.graph.similarities import similar_neighbours
from raymm.models.gume.config import DEFAULT, GraphConfig
from raymm.models.gume.modalities import Modalities
from raymm.models.gume.structure import LINKS, build_structure, item_graph
from tests.models.gume.toy import ITEMS, USERS, toy_data, toy_model

K = 4
GRAPH = GraphConfig(neighbours=K, link_neighbours=K, symmetric_links=False)


def _top(values: np.ndarray, k: int) -> list[set[int]]:
    unit = values.astype(np.float64) / np.linalg.norm(values, axis=1, keepdims=True)
    similarity = unit @ unit.T
    np.fill_diagonal(similarity, 2)
    return [set(np.argsort(-row)[:k].tolist()) for row in similarity]


def test_item_graphs_hold_the_item_itself_and_follow_the_formula() -> None:
    domain = toy_data().domains[0]
    structure = build_structure(replace(DEFAULT, graph=GRAPH), domain, 0)
    for name, feature in domain.features.items():
        unit = feature.values / np.linalg.norm(feature.values, axis=1, keepdims=True)
        graph, top = structure.matrices[item_graph(name)].toarray(), _top(feature.values, K)
        raw = np.array([[unit[i] @ unit[j] if j in top[i] else 0 for j in range(ITEMS)] for i in range(ITEMS)])
        degrees = raw.sum(1)
        assert ((graph > 0).sum(1) == K).all()
        assert (graph.diagonal() > 0).all()
        np.testing.assert_allclose(graph, raw / np.sqrt(degrees[:, None] * degrees[None, :]), rtol=1e-5)


def test_links_are_the_common_neighbours() -> None:
    domain = toy_data().domains[0]
    links = build_structure(replace(DEFAULT, graph=GRAPH), domain, 0).matrices[LINKS].toarray()
    tops = [_top(feature.values, K) for feature in domain.features.values()]
    expected = np.zeros((ITEMS, ITEMS))
    for item in range(ITEMS):
        expected[item, list((tops[0][item] & tops[1][item]) - {item})] = 1
    assert 0 < expected.sum() < ITEMS * (K - 1)
    assert not np.array_equal(expected, expected.T)
    np.testing.assert_array_equal(links, expected)
    both = build_structure(replace(DEFAULT, graph=replace(GRAPH, symmetric_links=True)), domain, 0).matrices[LINKS]
    np.testing.assert_array_equal(both.toarray(), np.maximum(expected, expected.T))


@pytest.mark.parametrize("k", [1, 2, K, 10, ITEMS])
@pytest.mark.parametrize("modalities", [1, 2, 3])
def test_an_item_with_every_modality_has_less_than_k_links_and_none_to_itself(modalities: int, k: int) -> None:
    domain = toy_data(modalities).domains[0]
    graph = replace(GRAPH, neighbours=k, link_neighbours=k)
    structure = build_structure(replace(DEFAULT, graph=graph), domain, 0)
    links = structure.matrices[LINKS]
    counts = np.diff(links.indptr)
    assert counts.min() >= 0
    assert counts.max() <= k - 1
    assert not links.diagonal().any()
    assert structure.facts["links.per_item"] == pytest.approx(counts.mean())


def test_items_that_are_alike_in_every_modality_have_as_many_links_as_there_can_be() -> None:
    domain = toy_data().domains[0]
    alike = {name: replace(feature, values=np.ones_like(feature.values)) for name, feature in domain.features.items()}
    links = build_structure(replace(DEFAULT, graph=GRAPH), replace(domain, features=alike), 0).matrices[LINKS]
    np.testing.assert_array_equal(np.diff(links.indptr), K - 1)


def test_items_without_a_modality_are_linked_by_the_others() -> None:
    domain = toy_data(2, missing=True).domains[0]
    structure = build_structure(replace(DEFAULT, graph=GRAPH), domain, 0)
    links = structure.matrices[LINKS].toarray()
    lacks_text, lacks_all = 0, 17  # see toy_data
    image = structure.matrices[item_graph("image")].toarray()
    near = {j for j in np.flatnonzero(image[lacks_text]).tolist() if j != lacks_text}
    assert set(np.flatnonzero(links[lacks_text]).tolist()) == near
    assert near
    assert not links[lacks_all].any()
    assert not links[:, lacks_all].any()
    assert not structure.matrices[item_graph("text")].toarray()[[0, 1, 17]].any()


def test_without_links_the_graph_is_the_plain_one() -> None:
    domain = toy_data().domains[0]
    config = replace(DEFAULT, width=6, graph=replace(GRAPH, link_neighbours=0))
    structure = build_structure(config, domain, 0)
    assert structure.matrices[LINKS].nnz == 0
    assert structure.facts["links.items"] == 0
    plain = bipartite(domain.interactions)
    enhanced = bipartite(domain.interactions, structure.matrices[LINKS])
    assert (plain != enhanced).nnz == 0


def test_users_take_from_items_by_the_enhanced_degrees() -> None:
    model = toy_model(replace(DEFAULT, width=6, graph=GRAPH), toy_data())
    modalities: Modalities = model.modalities
    domain = toy_data().domains[0]
    links = build_structure(replace(DEFAULT, graph=GRAPH), domain, 0).matrices[LINKS].toarray()
    ratings = domain.interactions.toarray()
    item_degrees = ratings.sum(0) + links.sum(1)
    expected = ratings / np.sqrt(np.maximum(ratings.sum(1)[:, None] * item_degrees[None], 1e-9))
    np.testing.assert_allclose(modalities._to_users.matrix.to_dense().numpy(), expected, rtol=1e-6)
    block = modalities._enhanced.matrix.to_dense().numpy()[:USERS, :USERS]
    assert not block.any()


def test_centred_similarity_leaves_out_what_all_items_share() -> None:
    domain = toy_data().domains[0]
    shifted = {name: replace(feature, values=feature.values + 50) for name, feature in domain.features.items()}
    config = replace(DEFAULT, graph=replace(GRAPH, similarity="centred"))
    graphs = [
        build_structure(config, replace(domain, features=features), 0).matrices[item_graph("text")].toarray()
        for features in (domain.features, shifted)
    ]
    np.testing.assert_array_equal(graphs[0] > 0, graphs[1] > 0)


def test_items_without_features_are_refused() -> None:
    domain = replace(toy_data().domains[0], features={})
    with pytest.raises(DataError, match="modality"):
        build_structure(DEFAULT, domain, 0)


@pytest.mark.parametrize("similarity", ["dot", "euclidean", "tanimoto"])
def test_other_similarities_decide_who_is_near(similarity: str) -> None:
    domain = toy_data().domains[0]
    graph = replace(GRAPH, similarity=similarity)
    structure = build_structure(replace(DEFAULT, graph=graph), domain, 0)
    for name, feature in domain.features.items():
        near = similar_neighbours(feature.values, K, similarity)  # type: ignore[arg-type]
        assert ((structure.matrices[item_graph(name)] != 0) != (near != 0)).nnz == 0
