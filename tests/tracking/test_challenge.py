"""The champion is replaced by what is better, on the validation interactions, person by person."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.data.prepared import PreparedSet
from raymm.errors import ArtefactError
from raymm.evaluation.ranking import rank
from raymm.scorers import DotScorer
from raymm.tracking.challenge import challenge
from tests.tracking.toys import SIZES, write_prepared


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> PreparedSet:
    return write_prepared(tmp_path_factory.mktemp("challenge") / "prepared")


def scorers(prepared: PreparedSet, knowing: float, seed: int = 0) -> dict[str, DotScorer]:
    """Score at random, and the validation item of a share of the users on top."""
    made = {}
    for name, (users, items) in SIZES.items():
        generator = np.random.default_rng((seed, users))
        table = generator.random((users, items)).astype(np.float32)
        rows, columns = prepared.validation_pairs(name)
        chosen = generator.random(len(rows)) < knowing
        table[rows[chosen], columns[chosen]] = 2.0
        made[name] = DotScorer(torch.from_numpy(table), torch.eye(items))
    return made


def test_means_are_those_of_the_rankings(prepared: PreparedSet) -> None:
    one, two = scorers(prepared, 0.5), scorers(prepared, 0.2, seed=1)
    found = challenge(one, two, prepared, "ndcg@5", "version 3")
    for model, mean in ((one, found.comparison.first), (two, found.comparison.second)):
        means = [rank(model[h.domain], h, (5,)).values["ndcg@5"].mean() for h in prepared.validation()]
        assert mean == pytest.approx(np.mean(means))
    assert found.comparison.n_users == 30 + 25 - 10  # those of both domains are one person each
    assert "version 3" in found.words()
    alone = challenge(one, two, prepared, "office.hr@5", "version 3").comparison
    office = next(h for h in prepared.validation() if h.domain == "office")
    assert alone.first == pytest.approx(rank(one["office"], office, (5,)).values["hr@5"].mean())
    assert alone.n_users == 25


def test_only_what_is_better_wins(prepared: PreparedSet) -> None:
    good, bad = scorers(prepared, 0.9), scorers(prepared, 0.1, seed=1)
    assert challenge(good, bad, prepared, "ndcg@10", "it").won
    assert not challenge(bad, good, prepared, "ndcg@10", "it").won
    assert not challenge(good, good, prepared, "ndcg@10", "it").won


def test_chance_wins_about_as_often_as_the_level_says(prepared: PreparedSet) -> None:
    models = [scorers(prepared, 0.3, seed=seed) for seed in range(60)]
    wins = sum(
        challenge(one, two, prepared, "ndcg@10", "it").won for one, two in zip(models[::2], models[1::2], strict=True)
    )
    assert wins <= 4  # of 30, at 2.5 %: more than 4 happens once in 700


def test_models_of_other_domains_are_not_compared(prepared: PreparedSet) -> None:
    both, one = scorers(prepared, 0.5), {"arts": scorers(prepared, 0.5)["arts"]}
    with pytest.raises(ArtefactError, match="'arts', 'office'"):
        challenge(one, both, prepared, "ndcg@10", "it")
    assert challenge(one, one, prepared, "ndcg@10", "it").comparison.n_users == 30
    with pytest.raises(ArtefactError, match=r"toys\.ndcg@10"):
        challenge(both, both, prepared, "toys.ndcg@10", "it")
