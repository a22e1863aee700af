"""A history read by a stranger gives what it gave the user of the training whose it is."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raymm.errors import DataError
from raymm.models.mimnet.config import COMPAT, DEFAULT
from raymm.models.mimnet.model import Mimnet
from raymm.models.mimnet.newcomers import pack, unpack
from raymm.ratings.cold_ranking import ColdRankingConfig
from raymm.ratings.table import RatingTable
from raymm.ratings.transfer import FactorConfig
from raymm.verbs.stages import run_stages
from tests.ratings.toys import planted

SMALL = replace(
    DEFAULT,
    factors=FactorConfig(2, 2.0, (2.0, 10.0)),
    meta=replace(DEFAULT.meta, epochs=2, gate=0.0),
    content=replace(DEFAULT.content, gate=0.0),
    ranking=ColdRankingConfig(ridges=(1.0,), popularity=(0.1,), exponents=(0.0,), cutoff=5),
)


def _trained(settings):
    problem, held, _ = planted()
    model = Mimnet(settings, problem, held, 0)
    run_stages(model, 0)
    return model, problem


@pytest.mark.parametrize(
    ("settings", "has_network"),
    [(SMALL, True), (replace(SMALL, meta=replace(SMALL.meta, gate=1e6)), False)],
    ids=["open", "closed"],
)
def test_known_users_are_read_as_they_were_trained_after_a_round_trip(settings, has_network) -> None:
    model, problem = _trained(settings)
    newcomers = model.newcomers()
    assert newcomers is not None
    assert (newcomers.network is not None) == has_network
    assert newcomers.liking is not None
    label, tensors = pack(newcomers)
    people = np.array([3, 100, 239])  # source users; toys number target users in reverse
    rows = problem.source.rows(np.isin(problem.source.users, people))
    table = RatingTable(np.searchsorted(people, rows.users), rows.items, rows.ratings, 3, rows.n_items)
    own = torch.from_numpy(problem.target.n_users - 1 - people)
    for reader in (newcomers, unpack(label, tensors)):
        scorer = model.scorer()
        assert reader.ratings(table, scorer).scores(torch.arange(3)) == pytest.approx(scorer.scores(own), abs=2e-5)
        ranked, wanted = reader.ranking(table, scorer).scores(torch.arange(3)), model.ranker().scores(own)
        assert ranked == pytest.approx(wanted, abs=1e-5)
    assert (wanted.std(dim=1) > 0).all()


def test_the_published_form_reads_nobody_and_damaged_parts_are_refused() -> None:
    problem, held, _ = planted()
    assert Mimnet(COMPAT, problem, held, 0).newcomers() is None
    label, tensors = pack(_trained(SMALL)[0].newcomers())
    with pytest.raises(DataError, match="unreadable"):
        unpack({**label, "vectors": {}}, tensors)
    with pytest.raises(DataError, match="unreadable"):
        unpack({name: value for name, value in label.items() if name != "liking"}, tensors)
    with pytest.raises(DataError, match="unreadable"):
        unpack(label, {name: value for name, value in tensors.items() if name != "habits.shares"})
