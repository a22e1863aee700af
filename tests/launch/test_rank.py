import numpy as np
import pytest
import torch

from raymm.data.prepared import open_prepared
from raymm.errors import TrainingError
from raymm.launch.rank import Floor, Validation, best_scorers
from raymm.parallel.grid import make_grid, single
from raymm.scorers import DotScorer, save_scorer
from tests.processes import run_ranks


class _Fixed:
    """A model whose scorers are known."""

    def __init__(self, prepared):
        generator = torch.Generator().manual_seed(0)
        self._tables = {
            facts.name: tuple(torch.randn(n, 8, generator=generator) for n in (facts.n_users, facts.n_items))
            for facts in prepared.domains
        }

    def scorer(self, domain):
        return DotScorer(*self._tables[domain])


def _validate(rank, folder, shape, candidates):
    prepared = open_prepared(folder)
    grid = make_grid(*shape) if shape != (1, 1) else single()
    return Validation(_Fixed(prepared), prepared, (5, 10), grid, candidates)()


@pytest.mark.ray
@pytest.mark.parametrize("candidates", [0, 99])
def test_any_number_of_ranks_validates_to_the_same_metrics(prepared_sample, candidates):
    alone = _validate(0, prepared_sample, (1, 1), candidates)
    if candidates:  # scores that know nothing: ten of a hundred places
        assert alone["hr@10"] == pytest.approx(0.1, abs=0.02)
    assert alone["ndcg@10"] == pytest.approx(np.mean([alone["arts.ndcg@10"], alone["office.ndcg@10"]]))
    for shape in ((2, 1), (1, 3)):
        for metrics in run_ranks(_validate, shape[0] * shape[1], prepared_sample, shape, candidates):
            assert metrics == pytest.approx(alone, rel=1e-12)


def test_best_scorers_are_read_back(tmp_path):
    scorer = DotScorer(torch.ones(2, 3), torch.ones(4, 3))
    save_scorer(scorer, tmp_path / "best" / "arts")
    assert torch.equal(best_scorers(tmp_path, ("arts",))["arts"].arrays()["items"], torch.ones(4, 3))


def test_a_run_without_a_validated_epoch_says_so(tmp_path):
    with pytest.raises(TrainingError, match="no validated epoch"):
        best_scorers(tmp_path, ("arts",))


def test_epochs_are_compared_with_popularity_by_domain():
    floor = Floor({"ndcg@10": 0.03, "arts.ndcg@10": 0.02, "office.ndcg@10": 0.04, "tools.ndcg@10": 0.0}, "ndcg@10")
    found = floor.compared({"ndcg@10": 0.05, "arts.ndcg@10": 0.03, "office.ndcg@10": 0.02, "tools.ndcg@10": 0.1})
    assert found == {"arts.over_popularity": pytest.approx(1.5), "office.over_popularity": pytest.approx(0.5)}
    assert floor.compared({}) == {}
