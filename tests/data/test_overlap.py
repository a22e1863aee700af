from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raymm.data.overlap import draw_known, shuffled, true_pairs

FIRST = pa.array([f"user {number}" for number in range(0, 300)])
SECOND = pa.array([f"user {number}" for number in range(399, 99, -1)])


def drawn(ratio: float, seed: int = 0) -> set[tuple[int, int]]:
    pairs = draw_known(true_pairs(FIRST, SECOND), FIRST, ratio, seed)
    assert (np.diff(pairs[:, 0]) > 0).all()
    return {tuple(pair) for pair in pairs.tolist()}


def test_true_pairs_are_those_of_equal_ids() -> None:
    pairs = true_pairs(FIRST, SECOND)
    expected = {(i, j) for i, a in enumerate(FIRST.to_pylist()) for j, b in enumerate(SECOND.to_pylist()) if a == b}
    assert len(expected) == 200
    assert {tuple(pair) for pair in pairs.tolist()} == expected


def test_domains_without_a_common_user_have_no_pairs() -> None:
    pairs = true_pairs(FIRST, pa.array(["nobody"]))
    assert pairs.shape == (0, 2)
    assert draw_known(pairs, FIRST, 0.5, 0).shape == (0, 2)


def test_draws_are_nested_and_of_the_wanted_size() -> None:
    sets = [drawn(ratio) for ratio in (0.0, 0.1, 0.5, 0.9, 1.0)]
    assert [len(pairs) for pairs in sets] == [0, 20, 100, 180, 200]
    assert all(small < large for small, large in zip(sets, sets[1:], strict=False))


def test_draws_follow_the_seed_and_not_the_numbering() -> None:
    assert drawn(0.5, 1) != drawn(0.5, 2)
    order = np.random.default_rng(0).permutation(300)
    renumbered = FIRST.take(pa.array(order))
    pairs = draw_known(true_pairs(renumbered, SECOND), renumbered, 0.5, 0)
    assert {renumbered[first].as_py() for first, _ in pairs.tolist()} == {FIRST[u].as_py() for u, _ in drawn(0.5)}


def test_draw_is_fair() -> None:
    counts = np.zeros(300)
    for seed in range(200):
        counts[[user for user, _ in drawn(0.5, seed)]] += 1
    shared = counts[100:]
    assert counts[:100].sum() == 0
    assert abs(shared.mean() - 100) < 1e-9
    assert shared.min() > 60
    assert shared.max() < 140


@pytest.mark.parametrize("size", [0, 1, 2, 3, 50])
def test_shuffled_pairs_are_all_wrong(size: int) -> None:
    pairs = np.stack((np.arange(size), np.arange(size) + 7), axis=1)
    result = shuffled(pairs, np.random.default_rng(0))
    if size < 2:
        assert len(result) == 0
    else:
        assert sorted(result[:, 1]) == sorted(pairs[:, 1])
        assert not (result[:, 1] == pairs[:, 1]).any()
