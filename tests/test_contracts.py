"""The nouns check their shapes and protect their arrays; the verbs are protocols."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.contracts import Domain, Feature, Holdout, RatingHoldout, Scorer, TrainData
from raymm.errors import DataError


def _matrix(rows: int = 3, columns: int = 4) -> sparse.csr_array:
    dense = np.zeros((rows, columns), np.float32)
    dense[np.arange(rows), np.arange(rows) % columns] = 1
    return sparse.csr_array(dense)


def _domain(name: str = "books", **arguments) -> Domain:
    return Domain(name, _matrix(), **arguments)


def test_a_domain_knows_its_counts_and_protects_its_arrays() -> None:
    feature = Feature(np.zeros((4, 2), np.float32), np.ones(4, bool))
    domain = _domain(features={"text": feature}, ratings=np.ones(3, np.float32), times=np.arange(3))
    assert (domain.n_users, domain.n_items) == (3, 4)
    arrays = (
        domain.interactions.data,
        domain.interactions.indices,
        domain.interactions.indptr,
        domain.ratings,
        domain.times,
        feature.values,
        feature.present,
    )
    for array in arrays:
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 0


@pytest.mark.parametrize(
    "matrix", [sparse.csr_array((0, 4)), sparse.csr_array((3, 0)), sparse.csr_array((3, 4), dtype=np.float32)]
)
def test_an_empty_domain_is_refused(matrix: sparse.csr_array) -> None:
    with pytest.raises(DataError, match="domain 'books'"):
        Domain("books", matrix)


def test_what_does_not_fit_a_domain_is_refused() -> None:
    short = Feature(np.zeros((3, 2), np.float32), np.ones(3, bool))
    with pytest.raises(DataError, match="3 rows of feature 'text'"):
        _domain(features={"text": short})
    with pytest.raises(DataError, match="books"):
        _domain(ratings=np.ones(2, np.float32))
    with pytest.raises(DataError, match="books"):
        _domain(times=np.ones((3, 1), np.int64))
    with pytest.raises(DataError, match="mask"):
        Feature(np.zeros((3, 2)), np.ones(2, bool))
    with pytest.raises(DataError, match="mask"):
        Feature(np.zeros(3), np.ones(3, bool))


def test_train_data_find_a_domain_by_name() -> None:
    data = TrainData((_domain("books"), _domain("films")), np.array([[0, 2], [1, 0]]), "mark")
    assert data.domain("films").name == "films"
    with pytest.raises(DataError, match="'games'"):
        data.domain("games")
    with pytest.raises(ValueError, match="read-only"):
        data.shared[0, 0] = 1


@pytest.mark.parametrize(
    "shared",
    [
        np.array([[0, 0], [0, 1]]),
        np.array([[0, 1], [2, 1]]),
        np.array([[0, 3]]),
        np.array([[-1, 0]]),
        np.array([0, 1]),
        np.zeros((0, 3), np.int64),
    ],
)
def test_shared_users_stand_in_one_pair_and_in_range(shared: np.ndarray) -> None:
    with pytest.raises(DataError):
        TrainData((_domain("books"), _domain("films")), shared, "mark")


def test_domains_of_one_name_are_refused() -> None:
    with pytest.raises(DataError, match="names that differ"):
        TrainData((_domain("books"), _domain("books")), np.zeros((0, 2), np.int64), "mark")


def test_a_holdout_has_something_to_find_for_every_user() -> None:
    targets, hidden = _matrix(2), _matrix(2)
    assert Holdout("books", np.arange(2), targets, hidden).domain == "books"
    refused = (
        (np.arange(3), targets, hidden),
        (np.arange(0), sparse.csr_array((0, 4)), sparse.csr_array((0, 4))),
        (np.arange(2), targets, _matrix(2, 5)),
        (np.arange(2), sparse.csr_array(np.array([[1, 0], [0, 0]])), sparse.csr_array((2, 2))),
    )
    for users, wrong_targets, wrong_hidden in refused:
        with pytest.raises(DataError, match="books"):
            Holdout("books", users, wrong_targets, wrong_hidden)


def test_a_class_is_a_scorer_by_what_it_has() -> None:
    class Mine:
        n_users = n_items = 1

        def scores(self, users):
            return torch.zeros(len(users), 1)

        def pairs(self, users, items):
            return torch.zeros(len(users))

        def arrays(self):
            return {}

    class Lacking:
        n_users = n_items = 1

    assert isinstance(Mine(), Scorer)
    assert not isinstance(Lacking(), Scorer)


def test_held_out_ratings_must_agree_and_be_finite() -> None:
    users, items = np.array([0, 1]), np.array([2, 0])
    kept = RatingHoldout("toy", users, items, np.array([4.0, 1.5], dtype=np.float32))
    assert not kept.ratings.flags.writeable
    for ratings in ([4.0], [4.0, float("nan")]):
        with pytest.raises(DataError, match="finite ratings"):
            RatingHoldout("toy", users, items, np.array(ratings, dtype=np.float32))
    with pytest.raises(DataError, match="at least one"):
        RatingHoldout("toy", users[:0], items[:0], np.empty(0, dtype=np.float32))
