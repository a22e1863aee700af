"""Items of two domains in one space: what is alike stays alike, whatever the width."""

from __future__ import annotations

import numpy as np
import pytest

from raymm.contracts import Feature
from raymm.ratings.descriptions import describe


def _feature(values: np.ndarray, present: np.ndarray | None = None) -> Feature:
    return Feature(values.astype(np.float32), np.ones(len(values), dtype=bool) if present is None else present)


def test_products_are_mean_cosines_over_the_common_modalities() -> None:
    draws = np.random.default_rng(0)
    first, second = ({name: draws.normal(size=(n, 5)) for name in ("text", "image")} for n in (6, 4))
    sides = [{name: _feature(values) for name, values in side.items()} for side in (first, second)]
    sides[0]["only here"], sides[0]["wider"], sides[1]["wider"] = (
        _feature(np.ones((n, w))) for n, w in ((6, 2), (6, 3), (4, 2))
    )
    found = describe(sides[0], sides[1], 32)
    assert found is not None
    wanted = np.zeros((6, 4))
    for name in ("text", "image"):
        unit = [side[name] / np.linalg.norm(side[name], axis=1, keepdims=True) for side in (first, second)]
        wanted += 0.5 * unit[0] @ unit[1].T
    assert found[0] @ found[1].T == pytest.approx(wanted, abs=1e-6)


def test_few_columns_keep_the_leading_directions() -> None:
    draws = np.random.default_rng(0)
    basis = draws.normal(size=(3, 60))
    sides = [draws.normal(size=(n, 3)) @ basis + 0.01 * draws.normal(size=(n, 60)) for n in (50, 40)]
    found = describe({"text": _feature(sides[0])}, {"text": _feature(sides[1])}, 3)
    assert found is not None
    assert found[0].shape == (50, 3)
    whole = np.vstack([side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides])
    left, values, _ = np.linalg.svd(whole, full_matrices=False)
    best = (left[:, :3] * values[:3]) @ (left[:, :3] * values[:3]).T
    both = np.vstack(found)
    assert both @ both.T == pytest.approx(best, abs=1e-5)


def test_an_item_without_a_modality_is_like_nothing_and_without_a_common_one_there_is_no_space() -> None:
    values = np.random.default_rng(0).normal(size=(4, 3))
    lacking = _feature(values, np.array([True, False, True, True]))
    found = describe({"text": lacking}, {"text": _feature(values)}, 8)
    assert found is not None
    assert not found[0][1].any()
    assert describe({"text": lacking}, {"image": lacking}, 8) is None
    assert describe({"text": lacking}, {"text": _feature(values)}, 0) is None
    assert describe({}, {}, 8) is None
