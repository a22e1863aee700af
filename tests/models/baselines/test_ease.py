from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.models.baselines import ease
from raymm.models.baselines.ease import EaseConfig, fit
from tests.models.baselines.toy import toy_data


@pytest.mark.parametrize("block", [4, 512])
@pytest.mark.parametrize("users", [20, 9])
def test_each_column_is_the_ridge_regression_without_the_item_itself(
    users: int, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More users than items, and fewer: two ways to the same inverse; in several blocks, and in one."""
    monkeypatch.setattr(ease, "_COLUMNS_AT_ONCE", block)
    data = toy_data()
    dense = data.domains[0].interactions.toarray().astype(float)[:users]
    data = replace(data, domains=(replace(data.domains[0], interactions=sparse.csr_array(dense.astype(np.float32))),))
    weights = np.zeros((15, 15))
    for item in range(15):
        others = np.delete(np.arange(15), item)
        x = dense[:, others]
        weights[others, item] = np.linalg.solve(x.T @ x + 1.5 * np.eye(14), x.T @ dense[:, item])
    scorer = fit(EaseConfig(ridge=1.5, kept=15), data)["toy"]
    np.testing.assert_allclose(scorer.scores(torch.arange(users)), dense @ weights, rtol=1e-5, atol=1e-6)


def test_only_the_largest_weights_are_kept() -> None:
    data = toy_data()
    whole, part = (fit(EaseConfig(ridge=1.5, kept=kept), data)["toy"] for kept in (15, 4))
    assert len(whole.weight_items) == 15 * 14
    assert len(part.weight_items) == 15 * 4
    sizes = [
        np.sort(np.abs(scorer.weight_values.numpy()[scorer.weight_items.numpy() == 6])) for scorer in (whole, part)
    ]
    np.testing.assert_array_equal(sizes[0][-4:], sizes[1])


def test_too_many_items_are_refused_with_what_to_do() -> None:
    with pytest.raises(DataError, match="item_knn"):
        fit(EaseConfig(most_items=10), toy_data())


def test_more_items_are_taken_where_users_are_few() -> None:
    data = toy_data()
    few = replace(data, domains=(replace(data.domains[0], interactions=data.domains[0].interactions[:9]),))
    assert fit(EaseConfig(most_items=9), few)["toy"].scores(torch.arange(9)).shape == (9, 15)
    with pytest.raises(DataError, match="9 users, 15 items"):
        fit(EaseConfig(most_items=8), few)
