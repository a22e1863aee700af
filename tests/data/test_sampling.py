import numpy as np
import pytest
import torch

from raymm.data.sampling import Candidates, NegativeConfig, Positives, TripleSource, candidates_of, draw_negatives
from raymm.errors import DataError
from raymm.parallel.grid import Grid, single


def _positives(rows, n_users=20, n_items=15, seed=0):
    keys = np.sort(np.random.default_rng(seed).choice(n_users * n_items, rows, replace=False))
    return Positives(keys // n_items, keys % n_items, n_items)


def _source(grid=None, batch_size=16):
    return TripleSource([_positives(100), _positives(37, seed=1)], batch_size, seed=3, grid=grid or single())


def test_an_epoch_holds_every_row_of_every_domain_once():
    source = _source()
    batches = list(source.epoch(1))
    assert len(batches) == source.steps_per_epoch == 7
    for place, rows in enumerate(source._positives):
        seen = sorted(
            (int(user), int(item))
            for batch in batches
            for user, item in zip(batch.domains[place].users, batch.domains[place].positives, strict=True)
        )
        assert seen == sorted(zip(rows.users.tolist(), rows.items.tolist(), strict=True))
        assert all(len(batch.domains[place].users) > 0 for batch in batches)


@pytest.mark.parametrize("parts", [2, 3])
def test_data_ranks_share_one_global_batch(parts):
    whole = list(_source().epoch(2))
    ranks = [list(_source(Grid(1, parts, 0, rank)).epoch(2)) for rank in range(parts)]
    assert {len(batches) for batches in ranks} == {len(whole)}
    for step, batch in enumerate(whole):
        for place, triples in enumerate(batch.domains):
            for name in ("users", "positives", "negatives"):
                joined = torch.cat([getattr(batches[step].domains[place], name) for batches in ranks])
                assert torch.equal(joined, getattr(triples, name))
            assert {batches[step].domains[place].total for batches in ranks} == {triples.total} == {len(triples.users)}
        assert {batches[step].seed for batches in ranks} == {batch.seed}


def test_column_ranks_see_the_same_batch():
    left, right = (list(_source(Grid(2, 1, rank)).epoch(1)) for rank in range(2))
    assert all(torch.equal(a.domains[0].negatives, b.domains[0].negatives) for a, b in zip(left, right, strict=True))


def test_negatives_are_never_training_positives_and_cover_the_rest_evenly():
    rows = _positives(150)
    known = np.sort(rows.users * 15 + rows.items)
    every = Candidates(np.arange(15), None)
    drawn = np.concatenate(
        [draw_negatives(rows.users, known, 15, every, np.random.default_rng(seed)) for seed in range(400)]
    )
    keys = np.tile(rows.users, 400) * 15 + drawn
    assert not np.isin(keys, known).any()
    user = int(rows.users[0])
    free = np.setdiff1d(np.arange(15), rows.items[rows.users == user])
    counts = np.bincount(drawn[np.tile(rows.users, 400) == user], minlength=15)
    assert set(np.flatnonzero(counts)) == set(free)
    expected = counts.sum() / len(free)
    assert (np.abs(counts[free] - expected) < 5 * expected**0.5).all()


def test_epochs_differ_and_repeat_by_seed():
    first, again, second = list(_source().epoch(1)), list(_source().epoch(1)), list(_source().epoch(2))
    assert all(torch.equal(a.domains[0].users, b.domains[0].users) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a.domains[0].users, b.domains[0].users) for a, b in zip(first, second, strict=True))


def test_an_epoch_can_go_on_in_the_middle():
    whole, rest = list(_source().epoch(1)), list(_source().epoch(1, start_step=4))
    assert len(rest) == 3
    assert all(
        torch.equal(a.domains[1].negatives, b.domains[1].negatives) for a, b in zip(whole[4:], rest, strict=True)
    )


def test_a_user_with_every_item_is_an_error():
    with pytest.raises(DataError, match="every item"):
        TripleSource([Positives(np.zeros(3, np.int64), np.arange(3), 3)], 2, 0, single())


def test_negatives_by_popularity_follow_it_among_what_a_user_has_not():
    rows = _positives(90, n_items=25)
    known = np.sort(rows.users * 25 + rows.items)
    candidates = candidates_of(rows, NegativeConfig(draw="popularity", power=0.5))
    user = int(np.bincount(rows.users).argmax())
    generator = np.random.default_rng(0)
    drawn = draw_negatives(np.full(60_000, user), known, 25, candidates, generator)
    weights = np.bincount(rows.items, minlength=25) ** 0.5
    weights[rows.items[rows.users == user]] = 0.0
    expected = 60_000 * weights / weights.sum()
    counts = np.bincount(drawn, minlength=25)
    assert (counts[expected == 0] == 0).all()
    assert (np.abs(counts - expected) <= 5 * np.sqrt(expected) + 1e-9).all()


def test_seen_negatives_leave_out_items_that_nobody_has():
    rows = Positives(np.array([0, 1, 2]), np.array([3, 5, 3]), n_items=50)
    known = np.sort(rows.users * 50 + rows.items)
    candidates = candidates_of(rows, NegativeConfig(draw="seen"))
    assert candidates.items.tolist() == [3, 5]
    drawn = draw_negatives(rows.users, known, 50, candidates, np.random.default_rng(0))
    assert drawn.tolist() == [5, 3, 5]
    source = TripleSource([rows], 2, 0, single(), NegativeConfig(draw="seen"))
    assert {int(item) for batch in source.epoch(1) for item in batch.domains[0].negatives} <= {3, 5}


def test_a_user_with_every_seen_item_is_an_error_where_only_those_are_drawn():
    rows = [Positives(np.array([0, 0, 1]), np.array([3, 5, 3]), n_items=50)]
    assert TripleSource(rows, 2, 0, single()).steps_per_epoch == 2
    for draw in ("seen", "popularity"):
        with pytest.raises(DataError, match="train.negatives.draw"):
            TripleSource(rows, 2, 0, single(), NegativeConfig(draw=draw))
