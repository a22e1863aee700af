"""Metrics against worked examples and a slow, obvious reference."""

from __future__ import annotations

import math

import numpy as np
import pytest

from raymm.errors import ArtefactError, DataError
from raymm.evaluation.values import (
    METRICS,
    RankingValues,
    join,
    means_from_sums,
    measure,
    read_values,
    restrict,
    write_values,
)


def _measure(ranks: list[list[int]], cutoffs: tuple[int, ...]) -> RankingValues:
    starts = np.concatenate([[0], np.cumsum([len(row) for row in ranks])]).astype(np.int64)
    flat = np.array([rank for row in ranks for rank in row], dtype=np.int64)
    return measure("toy", np.arange(len(ranks)), starts, np.arange(len(flat)), flat, cutoffs)


def test_three_users_by_hand() -> None:
    # K = 3. User 0: one positive at rank 2. User 1: five positives (more than K) at 1, 3, 4, 6, 9. User 2: two, missed.
    values = _measure([[2], [4, 9, 1, 6, 3], [7, 5]], (3,)).values
    second, third = 1 / math.log2(3), 1 / math.log2(4)
    expected = {
        "hr@3": [1, 1, 0],
        "recall@3": [1, 2 / 5, 0],
        "precision@3": [1 / 3, 2 / 3, 0],
        "ndcg@3": [second, (1 + third) / (1 + second + third), 0],  # the ideal list has 3 places, not 5
        "map@3": [1 / 2, (1 / 1 + 2 / 3) / 3, 0],
        "mrr@3": [1 / 2, 1, 0],
    }
    assert set(values) == set(expected)
    for key, numbers in expected.items():
        np.testing.assert_allclose(values[key], numbers, rtol=0, atol=1e-15, err_msg=key)


def test_a_perfect_list_scores_one_even_with_more_positives_than_places() -> None:
    values = _measure([list(range(1, 9)), [1], [2, 1]], (1, 2, 5)).values
    for cutoff in (1, 2, 5):
        for name in ("hr", "ndcg", "map", "mrr"):
            np.testing.assert_allclose(values[f"{name}@{cutoff}"], 1.0, atol=1e-15)


def _reference(ranks: list[int], cutoff: int) -> dict[str, float]:
    """The metrics of one user, written without any shared trick."""
    found = [rank for rank in range(1, cutoff + 1) if rank in ranks]
    gain = sum(1 / math.log2(rank + 1) for rank in found)
    best = sum(1 / math.log2(rank + 1) for rank in range(1, min(len(ranks), cutoff) + 1))
    precision_at = [sum(1 for other in found if other <= rank) / rank for rank in found]
    return {
        "hr": float(bool(found)),
        "recall": len(found) / len(ranks),
        "ndcg": gain / best,
        "precision": len(found) / cutoff,
        "map": sum(precision_at) / min(len(ranks), cutoff),
        "mrr": 1 / found[0] if found else 0.0,
    }


def test_metrics_equal_the_reference_on_random_ranks() -> None:
    generator = np.random.default_rng(5)
    ranks = [list(generator.choice(np.arange(1, 40), generator.integers(1, 30), replace=False)) for _ in range(80)]
    cutoffs = (1, 5, 10, 30)
    values = _measure(ranks, cutoffs).values
    assert len(values) == len(METRICS) * len(cutoffs)
    for cutoff in cutoffs:
        for name in METRICS:
            expected = [_reference(row, cutoff)[name] for row in ranks]
            np.testing.assert_allclose(values[f"{name}@{cutoff}"], expected, rtol=1e-13, err_msg=f"{name}@{cutoff}")


def test_sums_of_parts_give_the_means_of_the_whole() -> None:
    generator = np.random.default_rng(6)
    ranks = [list(generator.choice(np.arange(1, 30), 3, replace=False)) for _ in range(50)]
    whole = _measure(ranks, (5, 10)).means()
    parts = [_measure(ranks[start:stop], (5, 10)).sums() for start, stop in ((0, 7), (7, 7), (7, 50))]
    assert [part["count"] for part in parts] == [7, 0, 43]
    merged = means_from_sums(parts)
    assert merged.keys() == whole.keys()
    assert len(merged) == 12
    for key, value in whole.items():
        assert merged[key] == pytest.approx(value, abs=1e-13)


def test_means_of_nobody_are_refused() -> None:
    with pytest.raises(DataError, match="no users"):
        _measure([], (5,)).means()
    with pytest.raises(DataError, match="same metrics"):
        means_from_sums([_measure([[1]], (5,)).sums(), _measure([[1]], (10,)).sums()])
    with pytest.raises(DataError, match="same metrics"):
        means_from_sums([])


def test_join_restores_the_order_of_users() -> None:
    generator = np.random.default_rng(7)
    starts = np.array([0, 2, 3, 6, 7, 9])
    users, items, ranks = np.array([1, 4, 5, 8, 9]), np.arange(9), generator.permutation(9) + 1
    whole = measure("toy", users, starts, items, ranks, (2, 4))
    parts = []
    for rows in ([1, 3], [], [0, 2, 4]):
        pairs = np.concatenate([np.arange(starts[row], starts[row + 1]) for row in rows] or [np.zeros(0, int)])
        lengths = [starts[row + 1] - starts[row] for row in rows]
        own = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
        parts.append(measure("toy", users[rows], own, items[pairs], ranks[pairs], (2, 4)))
    joined = join(parts)
    for name in ("users", "starts", "items", "ranks"):
        np.testing.assert_array_equal(getattr(joined, name), getattr(whole, name), err_msg=name)
    for key in whole.values:
        np.testing.assert_array_equal(joined.values[key], whole.values[key], err_msg=key)


def test_join_refuses_a_user_twice_and_mixed_parts() -> None:
    part = _measure([[1], [2]], (5,))
    with pytest.raises(DataError, match="two parts"):
        join([part, part])
    with pytest.raises(DataError, match="different"):
        join([part, _measure([[1]], (10,))])
    with pytest.raises(DataError, match="none"):
        join([])


def test_restrict_keeps_ranks_and_drops_users_without_pairs() -> None:
    values = _measure([[2, 9], [1], [4, 3]], (3,))
    kept = restrict(values, np.array([True, False, False, True, True]))
    assert kept.users.tolist() == [0, 2]
    assert kept.starts.tolist() == [0, 1, 3]
    assert kept.ranks.tolist() == [2, 4, 3]
    assert kept.values["recall@3"].tolist() == [1.0, 0.5]
    assert len(restrict(values, np.zeros(5, bool)).users) == 0


def test_values_are_stored_and_read_unchanged(tmp_path) -> None:
    values = _measure([[2, 9], [1], [4, 3]], (3, 5))
    write_values(values, tmp_path / "values.npz")
    read = read_values(tmp_path / "values.npz")
    assert (read.domain, read.cutoffs) == ("toy", (3, 5))
    for name in ("users", "starts", "items", "ranks"):
        np.testing.assert_array_equal(getattr(read, name), getattr(values, name))
    assert read.values.keys() == values.values.keys()
    for key in values.values:
        np.testing.assert_array_equal(read.values[key], values.values[key])


def test_foreign_or_damaged_values_are_refused(tmp_path) -> None:
    path = tmp_path / "values.npz"
    with pytest.raises(ArtefactError, match=r"values\.npz"):
        read_values(path)
    write_values(_measure([[1]] * 200, (3,)), path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[len(whole) // 3] ^= 255
    for content in (b"", b"text", whole[:-20], bytes(flipped)):
        path.write_bytes(content)
        with pytest.raises(ArtefactError):
            read_values(path)
    fitting = {"domain": "toy", "cutoffs": [3], "users": [4], "starts": [0, 2], "items": [1, 2], "ranks": [1, 5]}
    np.savez(path, **fitting)
    assert read_values(path).values["recall@3"].tolist() == [0.5]
    misfits = (
        {"users": np.array([{"an": "object"}])},
        {"users": [4.5]},
        {"users": 4},
        {"starts": [0, 3]},
        {"starts": [1, 2]},
        {"starts": []},
        {"ranks": [0, 5]},
        {"cutoffs": []},
        {"cutoffs": [0]},
        {"cutoffs": ["three"]},
    )
    for misfit in misfits:
        np.savez(path, **fitting | misfit)
        with pytest.raises(ArtefactError):
            read_values(path)
