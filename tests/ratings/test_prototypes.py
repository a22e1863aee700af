"""k-means against planted clusters and scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.cluster import KMeans

from raymm.errors import ConfigError
from raymm.ratings.prototypes import find_prototypes


def _clouds():
    generator = np.random.default_rng(0)
    centres = 10 * generator.normal(size=(6, 4))
    return np.repeat(centres, 25, axis=0) + 0.1 * generator.normal(size=(150, 4)), np.repeat(np.arange(6), 25)


def test_planted_clusters_are_found_as_by_scikit_learn() -> None:
    items, kinds = _clouds()
    found = find_prototypes(items, 6, np.random.default_rng(1))
    theirs = KMeans(6, n_init=5, random_state=0).fit(items)
    assert found.inertia == pytest.approx(theirs.inertia_ / len(items), rel=1e-6)
    for kind in range(6):
        assert len(set(found.cluster[kinds == kind])) == 1
    assert np.linalg.norm(found.centres, axis=1) == pytest.approx(np.ones(6))


def test_as_many_clusters_as_items_and_no_more() -> None:
    items, _ = _clouds()
    assert find_prototypes(items[:5], 5, np.random.default_rng(0)).inertia == pytest.approx(0, abs=1e-12)
    assert len(find_prototypes(np.ones((4, 2)), 3, np.random.default_rng(0)).centres) == 3
    with pytest.raises(ConfigError, match="at most 4"):
        find_prototypes(items[:4], 5, np.random.default_rng(0))
