from __future__ import annotations

import numpy as np
import torch
from scipy import sparse

from raymm.models.baselines.histories import sparse_item_scorer, strongest_of_columns


def test_the_scorer_multiplies_history_and_weights() -> None:
    generator = np.random.default_rng(0)
    history = (generator.random((6, 5)) < 0.5).astype(np.float32)
    weights = generator.normal(size=(5, 5)) * (generator.random((5, 5)) < 0.6)
    scorer = sparse_item_scorer(sparse.csr_array(history), sparse.csr_array(weights))
    np.testing.assert_allclose(scorer.scores(torch.arange(6)), history @ weights, rtol=1e-5, atol=1e-6)


def test_columns_keep_their_largest_in_size_and_the_lower_of_equals() -> None:
    weights = np.array([[0, 2.0, 1], [-3, 0, 1], [1, 2, 0], [2, -2, 1]])
    found = strongest_of_columns(sparse.csr_array(weights), 2).toarray()
    np.testing.assert_array_equal(found, [[0, 2, 1], [-3, 0, 1], [0, 2, 0], [2, 0, 0]])
