"""The scorer says what the network says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raymm.models.mimnet.config import DEFAULT
from raymm.models.mimnet.network import MimnetNet
from raymm.models.mimnet.scoring import interest_scorer
from raymm.ratings.table import ColdStart
from raymm.scorers import load_scorer, save_scorer
from tests.models.mimnet.test_network import S, T, _tables
from tests.ratings.toys import table


@pytest.mark.parametrize("granularity", ["both", "fine", "coarse", "mean"])
def test_scores_pairs_and_network_agree_and_are_stored(granularity: str, tmp_path) -> None:
    network = MimnetNet(replace(DEFAULT.network, granularity=granularity), _tables(), torch.Generator().manual_seed(0))
    source_of = np.array([3, -1, 0, 1])
    problem = ColdStart(table([(0, 0, 1.0)], S, 12), table([(0, 0, 1.0)], 4, T), source_of)
    base = np.random.default_rng(0).normal(size=(4, 2)), np.random.default_rng(1).normal(size=(T, 2))
    scorer = interest_scorer(network, problem, base, 0.5)
    users, items = (ids.reshape(-1) for ids in torch.meshgrid(torch.arange(4), torch.arange(T), indexing="ij"))
    people = torch.from_numpy(source_of)[users]
    with torch.no_grad():
        expected = 0.5 * network(people.clamp_min(0), network.items[items], items) * (people >= 0)
    expected = expected.numpy() + (base[0][users] * base[1][items]).sum(axis=1)
    assert scorer.pairs(users, items).numpy() == pytest.approx(expected, abs=1e-5)
    assert torch.equal(scorer.scores(torch.arange(4)).reshape(-1), scorer.pairs(users, items))
    assert torch.allclose(scorer.picked(users, items).sum(dim=2), torch.ones(len(users), 2, dtype=torch.float64))
    save_scorer(scorer, tmp_path)
    assert torch.equal(load_scorer(tmp_path).scores(torch.arange(4)), scorer.scores(torch.arange(4)))
