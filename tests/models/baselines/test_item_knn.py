from __future__ import annotations

import numpy as np
import torch

from raymm.models.baselines.item_knn import ItemKnnConfig, fit
from tests.models.baselines.toy import ITEMS, USERS, toy_data


def test_scores_sum_the_nearest_by_the_formula() -> None:
    data = toy_data()
    dense = data.domains[0].interactions.toarray().astype(float)
    counts, common = dense.sum(0), dense.T @ dense
    similarity = common / (np.sqrt(np.outer(counts, counts)) + 2.0)
    np.fill_diagonal(similarity, 0)
    for column in similarity.T:
        order = sorted(range(ITEMS), key=lambda item: (-column[item], item))
        column[order[3:]] = 0
    scorer = fit(ItemKnnConfig(neighbours=3, shrinkage=2.0), data)["toy"]
    found = scorer.scores(torch.arange(USERS)).numpy()
    assert found.max() > 0
    np.testing.assert_allclose(found, dense @ similarity, rtol=1e-5, atol=1e-7)
