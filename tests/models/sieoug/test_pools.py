import numpy as np
import pytest
import torch

from raymm.contracts import TrainData
from raymm.models.sieoug.pools import Pools
from tests.toy_data import checkerboards

DATA = checkerboards(2)[0]


def _generator(seed):
    return torch.Generator().manual_seed(seed)


def test_known_pairs_are_drawn_together_and_others_apart():
    pools = Pools(DATA, 16)
    known = {tuple(pair) for pair in DATA.shared.tolist()}
    for seed in range(5):
        source, target, n_shared = pools.draw(_generator(seed))
        assert n_shared == 8  # half of the batch at most
        pairs = zip(source[:n_shared].tolist(), target[:n_shared].tolist(), strict=True)
        assert {tuple(pair) for pair in pairs} <= known
        for side, users in enumerate((source, target)):
            assert not set(users[n_shared:].tolist()) & set(DATA.shared[:, side].tolist())
            assert len(set(users.tolist())) == len(users) == 16


def test_the_source_side_alone_is_the_same_draw():
    pools = Pools(DATA, 16)
    pairs, others = pools.draw_source(_generator(3))
    source, target, n_shared = pools.draw(_generator(3))
    assert torch.equal(torch.cat([pairs[:, 0], others]), source)
    assert torch.equal(pairs[:, 1], target[:n_shared])


@pytest.mark.parametrize(("known", "expected"), [(0, 0), (1, 1), (2, 2), (10, 4), (20, 8)])
def test_known_pairs_are_a_tenth_to_a_half(known, expected):
    shared = np.array(DATA.shared[:known])
    *_, n_shared = Pools(TrainData(DATA.domains, shared, "few"), 16).draw(_generator(0))
    assert n_shared == expected


def test_a_side_of_known_users_only_leaves_no_room():
    pairs = np.column_stack([np.arange(40)] * 2)
    pools = Pools(TrainData(DATA.domains, pairs, "all"), 16)
    assert pools.room == 0
    assert len(pools.draw(_generator(0))[1]) == 8
