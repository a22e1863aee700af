"""Slices against hand-made groups, catalogue measures against definitions."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from raymm.contracts import Domain
from raymm.errors import ConfigError, DataError
from raymm.evaluation.ranking import rank
from raymm.evaluation.slices import (
    by_history_length,
    by_item_popularity,
    catalogue,
    item_degrees,
    recommendation_counts,
    shown_by_slice,
    slice_parts,
)
from raymm.evaluation.values import measure
from tests.evaluation.toys import random_case


def _domain(degrees: list[int], n_users: int) -> Domain:
    """A domain where item i was chosen by the first `degrees[i]` users."""
    matrix = (np.arange(n_users)[:, None] < np.array(degrees)[None]).astype(np.float32)
    return Domain("toy", sparse.csr_array(matrix))


def test_popularity_slices_by_hand() -> None:
    # ten items of degrees 9, 8, ..., 1, 0: groups of two items; user 0 finds items 0 and 9, user 1 finds item 3
    domain = _domain([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 9)
    starts, items, ranks = np.array([0, 2, 3]), np.array([0, 9, 3]), np.array([1, 7, 2])
    values = measure("toy", np.array([0, 1]), starts, items, ranks, (5,))
    found = {part.name: part for part in by_item_popularity(values, domain)}
    assert list(found) == [
        "head",
        "tail",
        "group 1 of 5, most popular",
        "group 2 of 5",
        "group 3 of 5",
        "group 4 of 5",
        "group 5 of 5, least popular",
        "not in training",
    ]
    assert {part.family for part in found.values()} == {"item popularity"}
    assert (found["head"].n_users, found["head"].n_pairs, found["head"].means["recall@5"]) == (1, 1, 1.0)
    assert (found["tail"].n_users, found["tail"].n_pairs, found["tail"].means["recall@5"]) == (2, 2, 0.5)
    assert found["group 2 of 5"].means["mrr@5"] == 0.5
    assert (found["group 3 of 5"].n_users, found["group 3 of 5"].means) == (0, {})
    assert found["group 5 of 5, least popular"].means["hr@5"] == 0.0
    assert found["not in training"].n_pairs == 1


def test_groups_are_equal_and_cover_every_pair_once() -> None:
    generator = np.random.default_rng(1)
    scorer, data = random_case(generator)
    values = rank(scorer, data)
    domain = _domain(list(generator.integers(1, 30, 60)), 41)
    parts = by_item_popularity(values, domain, groups=4)
    head, tail, *groups = parts
    assert len(groups) == 4
    assert sum(part.n_pairs for part in groups) == head.n_pairs + tail.n_pairs == len(values.items)
    popular = np.argsort(-item_degrees(domain), kind="stable")[:15]
    assert head.n_pairs == np.isin(values.items, popular).sum() > 0
    assert head.n_pairs == groups[0].n_pairs


def test_a_slice_counts_its_own_positives_only() -> None:
    generator = np.random.default_rng(2)
    scorer, data = random_case(generator)
    values = rank(scorer, data)
    domain = _domain(list(generator.integers(1, 30, 60)), 41)
    head = by_item_popularity(values, domain)[0]
    popular = set(np.argsort(-item_degrees(domain), kind="stable")[:12].tolist())
    recalls = []
    for row in range(len(values.users)):
        mine = slice(values.starts[row], values.starts[row + 1])
        ranks = [rank for item, rank in zip(values.items[mine], values.ranks[mine], strict=True) if item in popular]
        if ranks:
            recalls.append(sum(rank <= 10 for rank in ranks) / len(ranks))
    assert len(recalls) == head.n_users > 20
    assert head.means["recall@10"] == pytest.approx(np.mean(recalls), abs=1e-12)


def test_history_slices_by_hand() -> None:
    matrix = np.zeros((5, 30), dtype=np.float32)
    for user, length in enumerate([0, 1, 4, 5, 25]):
        matrix[user, :length] = 1
    domain = Domain("toy", sparse.csr_array(matrix))
    values = measure("toy", np.arange(5), np.arange(6), np.full(5, 29), np.array([1, 9, 2, 4, 30]), (3, 10))
    parts = by_history_length(values, domain, bounds=(0, 1, 2, 5, 20))
    assert [(part.name, part.n_users) for part in parts] == [
        ("0 (cold)", 1),
        ("1", 1),
        ("3 to 5", 2),
        ("21 or more", 1),
    ]
    assert [part.means["hr@3"] for part in parts] == [1.0, 0.0, 0.5, 0.0]
    assert sum(part.n_pairs for part in parts) == 5


def test_catalogue_measures_by_definition() -> None:
    generator = np.random.default_rng(3)
    items = generator.integers(-1, 12, size=(20, 4))
    counts = recommendation_counts(items, 15)
    degrees = generator.integers(0, 50, 15)
    assert counts.sum() == (items >= 0).sum()
    measures = catalogue(counts, degrees, 4)
    gap = np.abs(counts[:, None] - counts[None]).sum()  # the Gini coefficient as a mean absolute difference
    assert measures["gini@4"] == pytest.approx(gap / (2 * 15 * counts.sum()), abs=1e-12)
    assert measures["coverage@4"] == len(set(items[items >= 0])) / 15
    assert measures["popularity@4"] == pytest.approx(np.mean(degrees[items[items >= 0]]))


def test_gini_at_its_ends() -> None:
    degrees = np.ones(8, int)
    assert catalogue(np.full(8, 3), degrees, 1)["gini@1"] == pytest.approx(0, abs=1e-15)
    assert catalogue(np.array([0, 0, 9, 0, 0, 0, 0, 0]), degrees, 1)["gini@1"] == pytest.approx(7 / 8)


def test_wrong_requests_are_refused() -> None:
    domain = _domain([2, 1, 1], 2)
    values = measure("toy", np.array([0]), np.array([0, 1]), np.array([2]), np.array([1]), (1,))
    with pytest.raises(ConfigError, match="2 to 3"):
        by_item_popularity(values, domain, groups=4)
    with pytest.raises(ConfigError, match="ascending"):
        by_history_length(values, domain, bounds=(2, 2))
    elsewhere = measure("films", np.array([0]), np.array([0, 1]), np.array([2]), np.array([1]), (1,))
    with pytest.raises(DataError, match="films"):
        by_item_popularity(elsewhere, domain)
    too_large = measure("toy", np.array([2]), np.array([0, 1]), np.array([2]), np.array([1]), (1,))
    with pytest.raises(DataError, match="2 users"):
        by_history_length(too_large, domain)
    with pytest.raises(DataError, match="0 recommendations"):
        catalogue(np.zeros(3, int), np.zeros(3, int), 5)


def test_all_slices_together_hold_what_each_kind_holds() -> None:
    domain = _domain([9, 8, 7, 6, 5, 4, 3, 2, 1, 0], 9)
    starts, items, ranks = np.array([0, 2, 3]), np.array([0, 9, 3]), np.array([1, 7, 2])
    values = measure("toy", np.array([0, 1]), starts, items, ranks, (5,))
    parts = slice_parts(values, domain)
    assert next(iter(parts)) == ("all", "everybody")
    for family, slices in {
        "item popularity": by_item_popularity(values, domain),
        "user history": by_history_length(values, domain),
    }.items():
        counts = {name: int(pairs.sum()) for (kind, name), pairs in parts.items() if kind == family}
        assert counts == {part.name: part.n_pairs for part in slices}


def test_what_slices_show_by_hand() -> None:
    # Five items of degrees 4, 3, 2, 1, 0; users 0 to 3 have chosen 4, 3, 2, 1 of them, user 4 nothing.
    domain = Domain(
        "toy", sparse.csr_array((np.arange(5)[:, None] < np.array([4, 3, 2, 1, 0])[None]).astype(np.float32))
    )
    users, starts = np.arange(5), np.arange(6)
    values = measure("toy", users, starts, np.array([4, 4, 4, 4, 0]), np.ones(5, np.int64), (2,))
    lists = np.array([[4, -1], [3, 4], [2, 3], [1, 2], [0, 1]])
    shown = shown_by_slice(values, domain, lists)
    assert shown["item popularity", "head"] == pytest.approx(
        {"coverage@2": 1.0, "gini@2": 0.0, "popularity@2": 4.0, "share@2": 1 / 9}
    )
    assert shown["item popularity", "not in training"]["share@2"] == pytest.approx(2 / 9)
    tail = shown["item popularity", "tail"]
    assert (tail["share@2"], tail["popularity@2"]) == pytest.approx((8 / 9, 12 / 8))
    assert shown["user history", "0 (cold)"]["coverage@2"] == pytest.approx(2 / 5)
    assert shown["user history", "0 (cold)"]["popularity@2"] == pytest.approx(3.5)
    empty = shown_by_slice(values, domain, np.full((5, 2), 1))
    assert empty["item popularity", "head"] == {"coverage@2": 0.0, "share@2": 0.0}
    with pytest.raises(DataError, match="one a user"):
        shown_by_slice(values, domain, lists[:2])
