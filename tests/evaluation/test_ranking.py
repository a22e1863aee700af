"""Full ranking against a slow reference, in any blocks and on any number of ranks."""

from __future__ import annotations

import zlib

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.contracts import Holdout
from raymm.errors import ConfigError, DataError, TrainingError
from raymm.evaluation import ranking
from raymm.evaluation.ranking import rank, top_k
from raymm.evaluation.values import join, means_from_sums
from raymm.scorers import DotScorer, ItemScorer
from tests.evaluation.toys import TableScorer, csr, holdout, random_case
from tests.processes import run_ranks


def _reference_order(row: np.ndarray, hidden: set[int]) -> list[int]:
    """All rankable items, best first, the lower index first among equals."""
    return sorted((item for item in range(len(row)) if item not in hidden), key=lambda item: (-row[item], item))


def test_ranks_equal_a_sorted_list_with_many_ties() -> None:
    scorer, data = random_case(np.random.default_rng(1))
    result = rank(scorer, data, cutoffs=(5, 10))
    pairs = 0
    for row, user in enumerate(data.users):
        order = _reference_order(scorer.table[user].numpy(), set(data.hidden[[row]].indices))
        mine = slice(result.starts[row], result.starts[row + 1])
        assert sorted(data.targets[[row]].indices) == list(result.items[mine])
        assert [order.index(item) + 1 for item in result.items[mine]] == list(result.ranks[mine])
        pairs += len(result.ranks[mine])
    assert pairs == len(result.ranks) > 200


def test_three_users_by_hand() -> None:
    # user 0: 3 is hidden, so 1 leads and 0 follows; user 1: all equal, so the index decides; user 2: plain order
    table = [[3, 4, 1, 9, 0, 2], [5, 5, 5, 5, 5, 5], [0, 1, 2, 3, 4, 5]]
    data = holdout([[0], [1, 2, 3, 5], [0, 5]], [[3], [0], []], n_items=6)
    result = rank(TableScorer(np.array(table)), data, cutoffs=(2,))
    assert list(result.ranks) == [2, 1, 2, 3, 5, 6, 1]
    second = 1 / np.log2(3)
    expected = [second, 1.0, 1 / (1 + second)]  # user 1 has four positives: the ideal list is cut at two
    np.testing.assert_allclose(result.values["ndcg@2"], expected, atol=1e-15)
    np.testing.assert_allclose(result.values["recall@2"], [1, 0.5, 0.5], atol=1e-15)
    assert result.means()["hr@2"] == 1.0


@pytest.mark.parametrize("block_users", [1, 2, 7, 35, 1000])
def test_blocks_do_not_change_the_result(block_users: int) -> None:
    scorer, data = random_case(np.random.default_rng(2))
    whole = rank(scorer, data)
    blocked = rank(scorer, data, block_users=block_users)
    np.testing.assert_array_equal(blocked.ranks, whole.ranks)


@pytest.mark.parametrize("n_ranks", [1, 2, 3, 50])
def test_slices_add_up_to_the_whole(n_ranks: int) -> None:
    generator = torch.Generator().manual_seed(4)
    scorer = DotScorer(torch.randn(41, 24, generator=generator), torch.randn(60, 24, generator=generator))
    _, data = random_case(np.random.default_rng(4))
    rows = len(data.users)
    whole = rank(scorer, data)
    by_stride = [rank(scorer, data, rows=range(part, rows, n_ranks)) for part in range(n_ranks)]
    bounds = np.linspace(0, rows, n_ranks + 1).astype(int)
    by_bounds = [rank(scorer, data, rows=range(*pair)) for pair in zip(bounds, bounds[1:], strict=False)]
    for parts in (by_stride, by_bounds):
        assert len(parts) == n_ranks
        means = means_from_sums([part.sums() for part in parts])
        assert len(means) == 18
        for key, value in whole.means().items():
            assert means[key] == pytest.approx(value, abs=1e-12), key
        np.testing.assert_array_equal(join(parts).ranks, whole.ranks)


def _rank_share(index: int, world_size: int) -> dict[str, float]:
    generator = torch.Generator().manual_seed(4)
    scorer = DotScorer(torch.randn(41, 24, generator=generator), torch.randn(60, 24, generator=generator))
    _, data = random_case(np.random.default_rng(4))
    sums = rank(scorer, data, rows=range(index, len(data.users), world_size)).sums()
    reduced = torch.tensor(list(sums.values()), dtype=torch.float64)
    torch.distributed.all_reduce(reduced)
    return means_from_sums([dict(zip(sums, reduced.tolist(), strict=True))])


def test_two_processes_agree_with_one() -> None:
    (single,) = run_ranks(_rank_share, 1, 1)
    first, second = run_ranks(_rank_share, 2, 2)
    assert first == second
    assert len(single) == 18
    for key, value in single.items():
        assert first[key] == pytest.approx(value, abs=1e-12), key


@pytest.mark.parametrize("k", [1, 5, 59, 60])
@pytest.mark.parametrize("block_users", [None, 3])
def test_top_k_equals_a_sorted_list(k: int, block_users: int | None) -> None:
    scorer, data = random_case(np.random.default_rng(3), levels=3)
    items, scores = top_k(scorer, data.users, k, data.hidden, block_users)
    short = 0
    for row, user in enumerate(data.users):
        order = _reference_order(scorer.table[user].numpy(), set(data.hidden[[row]].indices))[:k]
        filled = order + [-1] * (k - len(order))
        short += len(order) < k
        assert list(items[row]) == filled
        known = scorer.table[user].numpy()[order]
        np.testing.assert_array_equal(scores[row], np.concatenate([known, [-np.inf] * (k - len(order))]))
    assert len(data.users) == 35
    assert bool(short) == (k > 40)


def test_top_k_of_ordinary_scores_without_hidden_items() -> None:
    generator = torch.Generator().manual_seed(8)
    scorer = DotScorer(torch.randn(30, 8, generator=generator), torch.randn(500, 8, generator=generator))
    users = np.array([29, 3, 3, 0])
    items, scores = top_k(scorer, users, 20)
    expected = torch.sort(scorer.scores(torch.from_numpy(users)), dim=1, descending=True)
    np.testing.assert_array_equal(items, expected.indices[:, :20])
    np.testing.assert_array_equal(scores, expected.values[:, :20])


def test_the_two_zeros_and_negative_scores_keep_their_order() -> None:
    table = np.array([[-1.5, 0.0, -0.0, -2.0, 0.0, -1.5]])
    items, _ = top_k(TableScorer(table), np.array([0]), 2)
    assert items.tolist() == [[1, 2]]
    items, _ = top_k(TableScorer(table), np.array([0]), 4)
    assert items.tolist() == [[1, 2, 4, 0]]


def test_popularity_gives_everybody_the_same_list() -> None:
    scorer = ItemScorer(torch.tensor([2.0, 7.0, 7.0, 1.0, 7.0]), n_users=3)
    items, scores = top_k(scorer, np.arange(3), 2, csr([[], [1], [1, 2, 4]], 5))
    assert items.tolist() == [[1, 2], [2, 4], [0, 3]]
    assert scores.tolist() == [[7, 7], [7, 7], [2, 1]]


def test_evaluation_leaves_the_scorer_and_the_holdout_alone() -> None:
    scorer, data = random_case(np.random.default_rng(9))
    before = scorer.table.clone()
    for matrix in (data.targets, data.hidden):
        for array in (matrix.data, matrix.indices, matrix.indptr):
            array.flags.writeable = False  # as arrays from an object store are
    data.users.flags.writeable = False
    rank(scorer, data)
    top_k(scorer, data.users, 5, data.hidden)
    assert torch.equal(scorer.table, before)


def test_unsorted_and_repeated_entries_count_once() -> None:
    table = TableScorer(np.array([[1.0, 2.0, 3.0, 4.0]]))
    untidy = sparse.csr_array((np.ones(4), np.array([2, 0, 2, 0]), np.array([0, 4])), shape=(1, 4))
    result = rank(table, Holdout("toy", np.array([0]), untidy, csr([[3]], 4)), cutoffs=(1, 2))
    assert result.items.tolist() == [0, 2]
    assert result.ranks.tolist() == [3, 1]
    assert result.values["recall@1"].tolist() == [0.5]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_scores_that_are_not_finite_name_the_user(bad: float) -> None:
    table = np.zeros((5, 9))
    table[3, 2:4] = bad
    data = holdout([[0], [1]], [[], []], n_items=9, users=[1, 3])
    with pytest.raises(TrainingError, match="2 scores of user 3 are NaN or infinite"):
        rank(TableScorer(table), data, cutoffs=(2,))
    with pytest.raises(TrainingError, match="user 3"):
        top_k(TableScorer(table), np.array([0, 3]), 2)


def test_large_finite_scores_are_accepted() -> None:
    table = np.full((1, 4), 3e38)  # their sum overflows
    result = rank(TableScorer(table), holdout([[2]], [[]], 4), cutoffs=(2,))
    assert result.ranks.tolist() == [3]


def test_a_scorer_that_breaks_its_promise_is_named() -> None:
    scorer, data = TableScorer(np.zeros((2, 4))), holdout([[0], [1]], [[], []], 4)
    scorer.table = scorer.table.double()
    with pytest.raises(TrainingError, match="float64"):
        rank(scorer, data, cutoffs=(2,))


def test_a_cutoff_beyond_the_rankable_items_is_refused_on_every_rank() -> None:
    data = holdout([[0], [1]], [[], [2, 3, 4]], n_items=6, users=[4, 7])
    scorer = TableScorer(np.zeros((8, 6)))
    assert rank(scorer, data, cutoffs=(1, 3)).cutoffs == (1, 3)
    for rows in (None, range(1), range(1, 2), range(0)):
        with pytest.raises(ConfigError, match="cutoff 4, but only 3 items can be ranked for user 7"):
            rank(scorer, data, cutoffs=(1, 4), rows=rows)


def test_requests_that_do_not_fit_are_refused() -> None:
    scorer, data = TableScorer(np.zeros((2, 6))), holdout([[0], [1]], [[5], [5]], 6)
    with pytest.raises(ConfigError, match="cutoffs"):
        rank(scorer, data, cutoffs=())
    with pytest.raises(ConfigError, match="cutoffs"):
        rank(scorer, data, cutoffs=(0, 2))
    with pytest.raises(ConfigError, match="at least 1"):
        rank(scorer, data, cutoffs=(2,), block_users=0)
    with pytest.raises(DataError, match="range\\(0, 3\\)"):
        rank(scorer, data, cutoffs=(2,), rows=range(3))
    with pytest.raises(DataError, match="7 items"):
        rank(scorer, holdout([[0]], [[]], 7), cutoffs=(2,))
    with pytest.raises(DataError, match="users up to 2"):
        rank(scorer, holdout([[0]], [[]], 6, users=[2]), cutoffs=(2,))
    with pytest.raises(DataError, match="item 4 of user 1 is to be found and hidden"):
        rank(scorer, holdout([[0], [4]], [[], [4]], 6), cutoffs=(2,))
    for k in (0, 7):
        with pytest.raises(ConfigError, match=f"k = {k}"):
            top_k(scorer, np.array([0]), k)
    with pytest.raises(DataError, match="one row a user"):
        top_k(scorer, np.array([0]), 2, csr([[], []], 6))


def test_an_empty_share_has_empty_values() -> None:
    scorer, data = random_case(np.random.default_rng(9))
    empty = rank(scorer, data, rows=range(0))
    assert empty.sums()["count"] == 0
    assert len(empty.ranks) == 0
    assert top_k(scorer, np.zeros(0, np.int64), 3)[0].shape == (0, 3)


def test_a_block_never_holds_the_whole_matrix(monkeypatch) -> None:
    monkeypatch.setattr(ranking, "_BLOCK_BYTES", 4 * 60 * 4)  # four users of sixty items
    scorer, data = random_case(np.random.default_rng(2))
    asked: list[int] = []
    original = scorer.scores
    scorer.scores = lambda users: asked.append(len(users)) or original(users)
    whole = rank(scorer, data)
    assert max(asked) == 4
    assert sum(asked) == len(whole.users) == 35


def _pool(data: Holdout, row: int, candidates: int) -> list[int]:
    """What is ranked for a row's user: his targets, and what is drawn from the list of what may be drawn."""
    own = set(data.targets[[row]].indices.tolist())
    known = own | set(data.hidden[[row]].indices.tolist())
    free = [item for item in range(data.targets.shape[1]) if item not in known]
    seeds = [ranking._SEED, zlib.crc32(data.domain.encode()), int(data.users[row])]
    drawn = np.random.default_rng(seeds).choice(free, min(candidates, len(free)), replace=False, shuffle=False)
    return sorted(own | set(drawn.tolist()))


@pytest.mark.parametrize("candidates", [9, 30, 1000])
@pytest.mark.parametrize("seed", [1, 2])
def test_ranks_among_candidates_equal_a_sorted_list_of_them(candidates: int, seed: int) -> None:
    scorer, data = random_case(np.random.default_rng(seed))
    result = rank(scorer, data, cutoffs=(5, 10), candidates=candidates)
    sizes = set()
    for row, user in enumerate(data.users):
        pool, scores = _pool(data, row, candidates), scorer.table[user].numpy()
        order = sorted(pool, key=lambda item: (-scores[item], item))
        mine = slice(result.starts[row], result.starts[row + 1])
        assert [order.index(item) + 1 for item in result.items[mine]] == list(result.ranks[mine])
        sizes.add(len(pool) - len(result.items[mine]))
    assert (sizes == {candidates}) == (candidates < 27)  # some users have fewer left
    whole = rank(scorer, data, cutoffs=(5, 10))
    assert (result.ranks <= whole.ranks).all()
    assert (result.ranks == whole.ranks).all() == (candidates == 1000)


def test_candidates_are_drawn_alike_from_what_is_neither_held_out_nor_hidden() -> None:
    n_users, n_items = 4000, 12
    data = holdout([[2]] * n_users, [[0, 7, 11]] * n_users, n_items)
    # A table with one item above the target at a time says how often that item is drawn.
    shares = []
    for item in range(n_items):
        row = np.zeros(n_items)
        row[2], row[item] = 1, 2
        ranks = rank(ItemScorer(torch.from_numpy(row).float(), n_users), data, (1,), candidates=4).ranks
        shares.append((ranks == 2).mean())
    assert [shares[item] for item in (0, 2, 7, 11)] == [0, 0, 0, 0]
    others = np.delete(shares, [0, 2, 7, 11])
    assert others.sum() == pytest.approx(4)  # four each, none twice
    np.testing.assert_allclose(others, 0.5, atol=4 * np.sqrt(0.25 / n_users))


def test_a_scorer_that_knows_nothing_hits_ten_of_a_hundred_places() -> None:
    generator = np.random.default_rng(6)
    table = TableScorer(generator.normal(size=(3000, 400)))
    data = holdout([[item] for item in generator.integers(0, 400, 3000)], [[]] * 3000, 400)
    sampled, whole = (rank(table, data, (10,), candidates=count).means()["hr@10"] for count in (99, 0))
    assert sampled == pytest.approx(0.1, abs=4 * np.sqrt(0.09 / 3000))
    assert whole == pytest.approx(10 / 400, abs=4 * np.sqrt(0.025 / 3000))


def test_candidates_are_the_same_in_any_blocks_and_shares_and_hang_on_the_user() -> None:
    scorer, data = random_case(np.random.default_rng(4))
    whole = rank(scorer, data, cutoffs=(5,), candidates=15)
    for block_users in (1, 7):
        blocked = rank(scorer, data, (5,), block_users=block_users, candidates=15)
        np.testing.assert_array_equal(blocked.ranks, whole.ranks)
    rows = len(data.users)
    parts = [rank(scorer, data, (5,), rows=range(part, rows, 3), candidates=15) for part in range(3)]
    np.testing.assert_array_equal(join(parts).ranks, whole.ranks)
    assert means_from_sums([part.sums() for part in parts]) == pytest.approx(whole.means(), abs=1e-12)
    fewer = Holdout(data.domain, data.users[3:], data.targets[3:], data.hidden[3:])
    np.testing.assert_array_equal(rank(scorer, fewer, (5,), candidates=15).ranks, whole.ranks[whole.starts[3] :])
    elsewhere = Holdout("another", data.users, data.targets, data.hidden)
    assert (rank(scorer, elsewhere, (5,), candidates=15).ranks != whole.ranks).any()


def test_candidates_too_few_for_a_cutoff_are_refused() -> None:
    data, scorer = holdout([[0], [1, 2]], [[], []], n_items=9), TableScorer(np.zeros((2, 9)))
    assert rank(scorer, data, (4,), candidates=3).ranks.tolist()[0] == 1
    with pytest.raises(ConfigError, match="cutoff 5, but only 4 items can be ranked for user 0") as caught:
        rank(scorer, data, (5,), candidates=3)
    assert "more candidates" in caught.value.remedy
    with pytest.raises(ConfigError, match="-1 candidates"):
        rank(scorer, data, (1,), candidates=-1)
