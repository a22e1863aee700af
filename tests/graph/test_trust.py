"""Trust in modalities against a count by hand, chance, and planted noise."""

import numpy as np
import pytest
from scipy import sparse

from raymm.errors import DataError
from raymm.graph.neighbours import directions, nearest
from raymm.graph.trust import trust_in_links


def _random(users: int = 400, items: int = 60, seed: int = 0) -> sparse.csr_array:
    """Users of very different activity choose items of very different popularity, without any taste."""
    rng = np.random.default_rng(seed)
    chance = rng.uniform(0.05, 1, (users, 1)) * rng.uniform(0.05, 1, items)
    return sparse.csr_array((rng.random((users, items)) < chance).astype(np.float32))


def _links(items: int, seed: int) -> sparse.csr_array:
    return sparse.csr_array(np.random.default_rng(seed).random((items, items)) < 0.1)


def test_it_is_the_excess_over_chance_counted_pair_by_pair():
    chosen = _random(30, 12)
    X = chosen.toarray().astype(np.float64)
    together = X.T @ X
    np.fill_diagonal(together, 0)
    n = X.sum(0)
    chance = np.outer(n, n) * (together.sum() / (np.outer(n, n).sum() - (n**2).sum()))
    links = [sparse.csr_array(together >= chance * least) for least in (1.5, 1.1)] + [_links(12, 1)]
    lifts = []
    for matrix in links:
        pairs = [(i, j) for i, j in np.argwhere(matrix.toarray()) if i != j]
        lifts.append(sum(together[i, j] for i, j in pairs) / sum(chance[i, j] for i, j in pairs))
    excess = np.maximum(np.array(lifts) - 1, 0)
    assert excess[0] > excess[1] > 0
    np.testing.assert_allclose(trust_in_links(links, chosen), excess / excess.max(), rtol=1e-9)


def test_random_links_are_worth_nothing_beside_true_ones_although_users_differ_in_activity():
    kinds = np.arange(60) % 6
    chosen = _random()
    taste = np.random.default_rng(5).integers(0, 6, 400)
    chosen = sparse.csr_array(chosen.maximum(sparse.csr_array((taste[:, None] == kinds).astype(np.float32))))
    true = sparse.csr_array(kinds[:, None] == kinds)
    first, second = trust_in_links([true, _links(60, 9)], chosen)
    assert first == 1
    assert second < 0.1


def test_values_and_the_diagonal_do_not_matter():
    chosen, links = _random(), [_links(60, 1), _links(60, 2)]
    weighted = [sparse.csr_array(matrix * 0.3 + sparse.eye_array(60)) for matrix in links]
    np.testing.assert_allclose(trust_in_links(weighted, chosen), trust_in_links(links, chosen), rtol=1e-12)


def test_the_more_noise_the_less_trust():
    rng = np.random.default_rng(0)
    kinds, taste = rng.integers(0, 8, 200), rng.integers(0, 8, 300)
    chosen = sparse.csr_array(
        (rng.random((300, 200)) < np.where(taste[:, None] == kinds, 0.3, 0.03)).astype(np.float32)
    )
    clean = rng.standard_normal((8, 16))[kinds] + 0.1 * rng.standard_normal((200, 16))
    noisy = [clean + strength * rng.standard_normal((200, 16)) for strength in (0, 1, 2, 8)]
    trust = trust_in_links([nearest(directions(x.astype(np.float32)), 5) for x in noisy], chosen)
    assert trust[0] == 1
    assert (np.diff(trust) < -0.05).all()
    assert trust[-1] < 0.15


@pytest.mark.parametrize(
    ("chosen", "links"),
    [
        (sparse.csr_array(np.eye(5, dtype=np.float32)), _links(5, 1)),  # nobody chose two items
        (sparse.csr_array((4, 5), dtype=np.float32), _links(5, 1)),
        (_random(50, 5), sparse.csr_array((5, 5))),
    ],
    ids=["histories of one", "no interactions", "no links"],
)
def test_where_nothing_can_be_told_all_are_trusted(chosen, links):
    np.testing.assert_array_equal(trust_in_links([links, links], chosen), [1, 1])


def test_links_of_other_items_are_refused():
    with pytest.raises(DataError, match=r"expected: \(60, 60\) each"):
        trust_in_links([_links(59, 0)], _random())
