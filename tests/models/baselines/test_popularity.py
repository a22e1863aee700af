"""Popularity against counting by hand."""

from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from raymm import config
from raymm.contracts import Domain, Scorer, TrainData
from raymm.evaluation.ranking import top_k
from raymm.models.baselines.popularity import PopularityConfig, fit


def _data() -> TrainData:
    first = np.array([[1, 1, 0, 0, 1], [0, 1, 0, 0, 1], [0, 1, 0, 1, 0]], dtype=np.float32)
    second = np.array([[0, 0, 1], [0, 1, 1]], dtype=np.float32)
    domains = tuple(Domain(name, sparse.csr_array(matrix)) for name, matrix in (("books", first), ("films", second)))
    return TrainData(domains, np.zeros((0, 2), np.int64), "toy")


def test_scores_are_the_number_of_users_an_item_has() -> None:
    scorers = fit(PopularityConfig(), _data())
    assert list(scorers) == ["books", "films"]
    assert all(isinstance(scorer, Scorer) for scorer in scorers.values())
    assert scorers["books"].scores(torch.tensor([0, 2])).tolist() == [[1, 3, 0, 1, 2]] * 2
    assert scorers["films"].scores(torch.tensor([1])).tolist() == [[0, 1, 2]]
    assert (scorers["books"].n_users, scorers["films"].n_users) == (3, 2)


def test_equal_counts_rank_by_index() -> None:
    items, _ = top_k(fit(PopularityConfig(), _data())["books"], np.array([1]), 5)
    assert items.tolist() == [[1, 4, 0, 3, 2]]


def test_its_config_passes_the_gate() -> None:
    assert config.build(PopularityConfig, {}) == PopularityConfig()
    assert config.plain(PopularityConfig()) == {}
