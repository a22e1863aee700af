import numpy as np
import pytest
from scipy import sparse

from raymm.contracts import Domain, Feature
from raymm.data.statistics import LEVELS, describe_domain, gini, interaction_counts, lorenz


def _domain(**arguments) -> Domain:
    dense = np.array([[1, 1, 0, 0, 0], [1, 0, 1, 0, 0], [1, 0, 0, 0, 0], [0, 0, 0, 0, 0]], dtype=np.float32)
    return Domain("toy", sparse.csr_array(dense), **arguments)


def test_counts_and_sizes_are_those_of_a_hand_made_domain() -> None:
    found = describe_domain(_domain())
    assert (found.users, found.items, found.interactions) == (4, 5, 5)
    assert found.density == pytest.approx(5 / 20)
    assert (found.users_without, found.items_without) == (1, 2)
    assert found.histories[0] == 0
    assert found.histories[-1] == 2
    assert len(found.histories) == len(LEVELS)
    assert found.popularity[-1] == 3
    assert found.head == pytest.approx(3 / 5)  # one of five items is the head
    assert found.ratings == {}
    assert found.mean_rating is None
    assert found.times is None
    of_users, of_items = interaction_counts(_domain())
    assert of_users.tolist() == [2, 2, 1, 0]
    assert of_items.tolist() == [3, 1, 1, 0, 0]


def test_gini_is_the_mean_absolute_difference() -> None:
    counts = np.random.default_rng(0).integers(0, 50, size=40)
    differences = np.abs(counts[:, None] - counts[None, :]).mean()
    assert gini(counts) == pytest.approx(differences / (2 * counts.mean()), abs=1e-12)
    assert gini(np.full(7, 3)) == pytest.approx(0.0, abs=1e-12)
    assert gini(np.array([0] * 99 + [5])) == pytest.approx(0.99)


def test_the_lorenz_curve_begins_and_ends_where_it_must_and_bends_down() -> None:
    places, shares = lorenz(np.array([5, 0, 3, 2]))
    assert (places[0], shares[0], places[-1], shares[-1]) == (0, 0, 1, 1)
    assert shares.tolist() == pytest.approx([0, 0.5, 0.8, 1.0, 1.0])
    assert (np.diff(np.diff(shares)) <= 1e-12).all()


def test_ratings_times_and_modalities_are_described() -> None:
    present = np.array([True, True, True, False, True])
    domain = _domain(
        ratings=np.array([5, 4, 4, 1, 5], dtype=np.float32),
        times=np.array([50, 10, 20, 30, 40]),
        features={"title": Feature(np.zeros((5, 3), dtype=np.float32), present)},
    )
    found = describe_domain(domain)
    assert found.ratings == {"1": 1, "4": 2, "5": 2}
    assert found.mean_rating == pytest.approx(3.8)
    assert found.times == (10, 50)
    assert found.modalities == {"title": (3, pytest.approx(0.8))}


def test_ratings_of_many_values_are_counted_in_steps() -> None:
    matrix = sparse.csr_array(np.ones((10, 10), dtype=np.float32))
    ratings = np.linspace(0, 1, 100, dtype=np.float32)
    counts = describe_domain(Domain("toy", matrix, ratings=ratings)).ratings
    assert len(counts) == 20
    assert sum(counts.values()) == 100
