"""Rankings across domains as models of the registry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.contracts import Domain, TrainData
from raymm.errors import DataError
from raymm.models.rating.cold_rankers import CO_OCCURRENCE, RIDGE


def _data(n_users: int = 90, n_items: int = 24) -> tuple[TrainData, np.ndarray]:
    """Even persons like even items; in the second domain persons stand in reverse order, and the last third is new."""
    generator = np.random.default_rng(0)
    alike = (np.arange(n_users)[:, None] - np.arange(n_items)) % 2 == 0
    first, second = (alike & (generator.random(alike.shape) < 0.5) for _ in range(2))
    new = np.arange(60, n_users)
    second[new] = False
    pairs = np.column_stack([np.arange(n_users), np.arange(n_users)[::-1]])
    matrices = [sparse.csr_array(matrix.astype(np.float32)) for matrix in (first, second[::-1])]
    return TrainData((Domain("a", matrices[0]), Domain("b", matrices[1])), pairs, "toy"), n_users - 1 - new


@pytest.mark.parametrize("spec", [RIDGE, CO_OCCURRENCE], ids=lambda spec: spec.name)
def test_who_is_new_in_b_gets_what_his_like_chose_there(spec) -> None:
    data, new = _data()
    scorers = spec.fit(spec.presets["default"], data)
    assert set(scorers) == {"a", "b"}
    best = scorers["b"].scores(torch.from_numpy(new)).argsort(dim=1, descending=True)[:, :5].numpy()
    kinds = (len(data.shared) - 1 - new) % 2
    assert (best % 2 == kinds[:, None]).mean() > 0.95


@pytest.mark.parametrize("spec", [RIDGE, CO_OCCURRENCE], ids=lambda spec: spec.name)
def test_one_domain_is_refused(spec) -> None:
    data, _ = _data()
    one = TrainData(data.domains[:1], np.empty((0, 2), np.int64), "toy")
    with pytest.raises(DataError, match="two"):
        spec.fit(spec.presets["default"], one)
