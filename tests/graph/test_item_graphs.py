"""Item graphs of single modalities against their definition."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.graph.item_graphs import item_graphs
from tests.models.baselines.toy import ITEMS, toy_data

K = 4


@pytest.mark.parametrize("weighted", [True, False])
def test_links_count_their_cosines_or_one_each(weighted: bool) -> None:
    features = toy_data(missing=False).domains[0].features
    graphs = item_graphs(features, K, weighted=weighted)
    assert list(graphs) == ["text", "image"]
    for name, feature in features.items():
        unit = feature.values.astype(np.float64) / np.linalg.norm(feature.values, axis=1, keepdims=True)
        cosines = unit @ unit.T
        links = np.zeros((ITEMS, ITEMS))
        for item in range(ITEMS):
            near = np.argsort(-cosines[item])[:K]
            links[item, near] = cosines[item, near] if weighted else 1
        assert links.min() == 0
        degrees = links.sum(1)
        np.testing.assert_allclose(
            graphs[name].toarray(), links / np.sqrt(degrees[:, None] * degrees[None, :]), rtol=1e-5
        )


@pytest.mark.parametrize("weighted", [True, False])
def test_what_is_missing_is_skipped(weighted: bool) -> None:
    graphs = item_graphs(toy_data().domains[0].features, K, weighted=weighted)
    for name, lacking in (("text", [0, 1]), ("image", [1, 2])):
        dense = graphs[name].toarray()
        assert not dense[lacking].any()
        assert not dense[:, lacking].any()
        assert (dense.diagonal() > 0).sum() == ITEMS - 2
