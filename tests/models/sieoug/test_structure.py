import dataclasses

import numpy as np
import pytest

from raymm.contracts import Domain
from raymm.errors import DataError
from raymm.graph.fusion import fused_graph
from raymm.graph.hypergraph import HypergraphConfig
from raymm.graph.votes import VotesConfig, item_votes
from raymm.models.sieoug.config import DEFAULT, PAPER, SieougConfig, ViewsConfig
from raymm.models.sieoug.structure import (
    HYPER,
    PAIR,
    VOTES,
    build_structure,
    needs_hypergraph,
    needs_pair_graph,
    structure_key,
)
from tests.toy_data import checkerboard

DOMAIN = checkerboard("toy")[0]
TWO = HypergraphConfig(clusters=2)


BARE = SieougConfig(views=ViewsConfig(pair_weight=0.0), votes=VotesConfig(weight=0.0))


def test_the_default_needs_the_item_graph_and_votes():
    made = build_structure(DEFAULT, DOMAIN, 0)
    assert set(made.matrices) == {PAIR, VOTES}
    votes = item_votes(DOMAIN.interactions, made.matrices[PAIR], DEFAULT.votes)
    assert votes.nnz == made.facts["votes.entries"] > 0
    assert (made.matrices[VOTES] != votes).nnz == 0
    assert (
        made.matrices[PAIR] != fused_graph(DOMAIN.features, DEFAULT.fusion, interactions=DOMAIN.interactions).graph
    ).nnz == 0
    assert made.facts["fusion.converged"] == 1
    trust = [made.facts[f"fusion.trust.{name}"] for name in DOMAIN.features]
    assert min(trust) == made.facts["fusion.least_trust"] > 0
    assert max(trust) == 1


def test_the_paper_needs_both_and_clusters_find_the_two_kinds():
    made = build_structure(dataclasses.replace(PAPER, hypergraph=TWO), DOMAIN, 0)
    gamma = made.matrices[HYPER].toarray()
    np.testing.assert_allclose(gamma.sum(1), 1, atol=1e-6)
    kinds = gamma.argmax(1)
    assert len(set(kinds[::2])) == len(set(kinds[1::2])) == 1
    assert kinds[0] != kinds[1]


def test_the_same_seed_gives_the_same_clusters():
    config = dataclasses.replace(PAPER, hypergraph=TWO)
    first, second = (build_structure(config, DOMAIN, 3).matrices[HYPER] for _ in range(2))
    assert (first != second).nnz == 0


def test_without_graph_views_nothing_is_computed_and_no_features_are_needed():
    assert not needs_pair_graph(BARE)
    assert not needs_hypergraph(BARE)
    bare = Domain("bare", DOMAIN.interactions)
    assert build_structure(BARE, bare, 0).matrices == {}
    voting = dataclasses.replace(BARE, votes=VotesConfig(graph=0.0))
    assert not needs_pair_graph(voting)
    assert set(build_structure(voting, bare, 0).matrices) == {VOTES}


def test_items_without_features_are_an_error_that_says_what_to_do():
    with pytest.raises(DataError, match="without any modality") as caught:
        build_structure(DEFAULT, Domain("bare", DOMAIN.interactions), 0)
    assert "pair_weight" in caught.value.remedy
    assert "votes.graph" in caught.value.remedy


def test_a_structure_hangs_on_what_its_key_names_and_on_nothing_else():
    assert structure_key(DEFAULT, 0) == structure_key(dataclasses.replace(DEFAULT, width=8), 5)
    assert structure_key(PAPER, 0) != structure_key(PAPER, 1)  # the start of the clusters is drawn
    assert structure_key(DEFAULT, 0) != structure_key(dataclasses.replace(DEFAULT, fusion=PAPER.fusion), 0)
    assert structure_key(PAPER, 0) != structure_key(dataclasses.replace(PAPER, hypergraph=TWO), 0)
    assert structure_key(BARE, 0) == {}
    weighed, other = (
        dataclasses.replace(DEFAULT, votes=VotesConfig(**change)) for change in ({"weight": 7.0}, {"ridge": 50.0})
    )
    assert structure_key(weighed, 0) == structure_key(DEFAULT, 0) != structure_key(other, 0)


def test_clusters_may_grow_with_the_items():
    growing = HypergraphConfig(items_per_cluster=3)
    made = build_structure(dataclasses.replace(PAPER, hypergraph=growing), DOMAIN, 0)
    assert made.matrices[HYPER].shape[1] == round(DOMAIN.n_items / 3)
    assert growing.sized(1).clusters == 1
