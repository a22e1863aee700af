import dataclasses

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.contracts import TrainData
from raymm.graph.votes import VotesConfig, cross_votes
from raymm.models.sieoug.config import DEFAULT
from raymm.models.sieoug.plan import Plan
from raymm.models.sieoug.structure import VOTES, build_between
from raymm.models.sieoug.votes import Votes
from raymm.models.spec import Structure
from raymm.scorers import DotScorer
from tests.toy_data import checkerboards

CONFIG = VotesConfig(weight=3.0, cross=0.5, cross_shrinkage=2.0)


def _given():
    data, _ = checkerboards(2)
    some = sparse.csr_array(np.random.default_rng(0).normal(size=(24, 24)).astype(np.float32))
    generator = torch.Generator().manual_seed(0)
    scorer = DotScorer(torch.randn(40, 4, generator=generator), torch.randn(24, 4, generator=generator))
    return data, [Structure({VOTES: some}), Structure({VOTES: some.T})], scorer


def _votes(data, within, config=CONFIG):
    return Votes(config, data, within, build_between(dataclasses.replace(DEFAULT, votes=config), data))


def _whole(scorer):
    return scorer.scores(torch.arange(scorer.n_users)).numpy()


@pytest.mark.parametrize("side", [0, 1])
def test_known_counterparts_lend_their_histories(side):
    data, structures, scorer = _given()
    found = _whole(_votes(data, structures).beside(scorer, side, None))
    own, other = data.domains[side].interactions.toarray(), data.domains[1 - side].interactions.toarray()
    lent = np.zeros_like(other)
    lent[data.shared[:, side]] = other[data.shared[:, 1 - side]]
    across = cross_votes(
        data.domains[1 - side].interactions, data.domains[side].interactions, data.shared[:, [1 - side, side]], CONFIG
    )
    expected = _whole(scorer) + 3 * (own @ structures[side].matrices[VOTES] + 0.5 * lent @ across.toarray())
    np.testing.assert_allclose(found, expected, atol=1e-3)
    assert np.abs(expected - _whole(scorer)).max() > 1


@pytest.mark.parametrize("side", [0, 1])
def test_partners_of_the_plan_lend_theirs_by_weight(side):
    data, structures, scorer = _given()
    known = np.flatnonzero(np.arange(40) % 4 % 3 == 0)  # of either kind
    data = TrainData(data.domains, np.column_stack([known, known]), "half")
    open_users = np.setdiff1d(np.arange(40), known)
    plan = torch.zeros(40, 40, dtype=torch.float64)
    plan[1, [2, 5]] = torch.tensor([0.3, 0.1], dtype=torch.float64)
    plan[6, [5, 9]] = torch.tensor([0.1, 0.2], dtype=torch.float64)
    weights, targets = plan.sort(dim=1, descending=True)
    mass = weights.sum(1)
    listed = Plan(
        torch.where(weights > 0, targets, -1)[:, :2],
        (weights / mass.clamp_min(1e-9)[:, None]).float()[:, :2],
        mass,
        torch.zeros(20),
        {},
    )
    votes = _votes(data, structures)
    lent = votes._partners(side, listed).toarray()
    expected = plan.numpy() if side == 0 else plan.numpy().T
    totals = expected.sum(1, keepdims=True)
    np.testing.assert_allclose(lent[open_users], (expected / np.where(totals > 0, totals, 1))[open_users], atol=1e-6)
    assert totals[open_users].any()
    rows, columns = data.shared[:, side], data.shared[:, 1 - side]
    assert (lent[rows, columns] == 1).all()
    assert (_whole(votes.beside(scorer, side, listed)) != _whole(votes.beside(scorer, side, None))).any()


@pytest.mark.filterwarnings("error")
def test_without_known_pairs_or_without_weight_domains_do_not_touch():
    data, structures, scorer = _given()
    apart = TrainData(data.domains, np.empty((0, 2), np.int64), "none")
    none = _whole(_votes(apart, structures).beside(scorer, 0, None))
    off = _whole(_votes(data, structures, dataclasses.replace(CONFIG, cross=0.0)).beside(scorer, 0, None))
    np.testing.assert_array_equal(none, off)
