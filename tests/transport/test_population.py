import dataclasses
import json
import math

import pytest
import torch

from raymm.config import build, plain
from raymm.errors import SolverError
from raymm.transport import bilinear
from raymm.transport.guided import MatchConfig, match
from raymm.transport.partitioned import PartitionConfig
from raymm.transport.population import PopulationConfig, check_pairs, match_populations, population_cost
from tests.transport.people import domains

SMALL = PopulationConfig(top_k=10, partition=PartitionConfig(sample=150, cells=12, target_gap=0.02))


def known(count: int) -> torch.Tensor:
    return torch.arange(count)[:, None].repeat(1, 2)


def matched(x: torch.Tensor, y: torch.Tensor, pairs: torch.Tensor, config: PopulationConfig = SMALL):  # type: ignore[no-untyped-def] # noqa: ANN201
    return match_populations(x, y, pairs, config, torch.Generator().manual_seed(0))


@pytest.mark.parametrize("relation", ["profile", "hellinger"])
def test_counterparts_are_found_in_a_turned_space(relation: str) -> None:
    x, y = domains(700, 600, 300, torch.float32, turned=True, noise=0.03)
    shuffled = torch.randperm(600, generator=torch.Generator().manual_seed(1))
    where = torch.argsort(shuffled)  # row of y -> row of the shuffled target
    pairs = torch.stack([torch.arange(60), where[:60]], dim=1)
    config = dataclasses.replace(SMALL, relation=relation)  # type: ignore[arg-type]
    found = matched(x, y[shuffled], pairs, config)
    assert found.certificate is not None
    assert found.certificate.relative_gap < 0.02
    assert torch.equal(found.partners.targets[:60, 0], where[:60])
    assert (found.partners.weights[:60, 0] == 1).all()
    listed = found.partners.targets[60:300]
    assert float((listed == where[60:300, None]).any(dim=1).float().mean()) > 0.6
    assert not torch.isin(found.partners.targets[60:], where[:60]).any()  # known users are taken


def test_small_populations_get_the_plan_of_one_dense_match() -> None:
    x, y = domains(90, 80, 40, torch.float64)
    config = dataclasses.replace(SMALL, top_k=80, partition=PartitionConfig(cells=8, target_gap=1e-6))
    found = matched(x, y, known(20), config)
    dense = match(x, y, 20, MatchConfig())
    rows = torch.zeros(90, 80)
    present = found.partners.targets >= 0
    rows.scatter_(1, found.partners.targets.clamp_min(0), torch.where(present, found.partners.weights, 0.0))
    torch.testing.assert_close(rows[20:], dense.rows[20:], atol=1e-4, rtol=0)


def test_report_says_all_that_there_is_to_know_as_plain_data() -> None:
    x, y = domains(700, 600, 300, torch.float32)
    found = matched(x, y, known(60))
    facts = json.loads(json.dumps(found.report()))
    assert facts["known_pairs"] == 60
    assert facts["leaked_mass"] == 0.0
    assert facts["l1_bound"] is None  # relaxed
    assert facts["lower"] <= facts["upper"]
    assert 1 <= facts["effective_partners_p10"] <= facts["effective_partners_p50"] <= facts["effective_partners_p90"]
    assert facts["effective_partners_p50"] == pytest.approx(float(found.partners.effective[60:].median()), rel=0.05)
    assert 0 < facts["listed_mass"] <= 1
    assert 0 < facts["missed_mass"] < 0.1
    assert facts["seconds.iterations"] > 0
    assert facts["reached_target_gap"] is True


def test_users_without_a_counterpart_move_less_mass() -> None:
    x, y = domains(600, 600, 400, torch.float32, noise=0.03)
    stranger = x.clone()
    stranger[500:] = -x[500:]
    found = matched(stranger, y, known(100))
    assert found.partners.mass[500:].mean() < 0.5 * found.partners.mass[100:400].mean()


def test_distance_alone_needs_no_pairs_and_a_balanced_plan_moves_everything() -> None:
    x, y = domains(300, 250, 100, torch.float32)
    config = dataclasses.replace(SMALL, omega=1.0, align=False, marginals="balanced", epsilon=0.05)
    found = matched(x, y, torch.zeros(0, 2, dtype=torch.int64), config)
    assert float(found.partners.mass.sum()) == pytest.approx(1.0)
    torch.testing.assert_close(
        population_cost(x, y, known(0), config).dense(), bilinear.cosine(x, y).dense(), atol=1e-6, rtol=0
    )


def test_a_side_of_known_users_only_leaves_nothing_to_solve() -> None:
    x, y = domains(60, 50, 50)
    found = matched(x, y, known(50))
    assert found.solution is None
    assert found.certificate is None
    assert found.report() == {"known_pairs": 50, "leaked_mass": 0.0}
    assert found.partners.targets[:50, 0].tolist() == list(range(50))
    assert (found.partners.targets[50:] == -1).all()


def test_blend_follows_omega() -> None:
    x, y = domains(60, 50, 40)
    half = population_cost(x, y, known(30), dataclasses.replace(SMALL, omega=0.5))
    expected = 0.5 * bilinear.procrustes(x, y, known(30)).dense() + 0.5 * bilinear.profile(x, y, known(30)).dense()
    torch.testing.assert_close(half.dense(), expected)


@pytest.mark.parametrize(
    ("pairs", "expected"),
    [
        ([[0, 0], [1, 0]], "target user 0 in 2 known pairs"),
        ([[2, 1], [2, 3]], "source user 2 in 2 known pairs"),
        ([[0, 0], [0, 0]], "in 2 known pairs"),
        ([[0, 0], [1, 50]], "target user 50"),
        ([[-1, 0], [1, 1]], "source user -1"),
    ],
)
def test_bad_pairs_are_refused_by_name(pairs: list[list[int]], expected: str) -> None:
    with pytest.raises(SolverError, match=expected):
        check_pairs(torch.tensor(pairs), 60, 50)


def test_bad_input_is_refused() -> None:
    x, y = domains(60, 50, 40)
    with pytest.raises(SolverError, match="of torch.float32"):
        check_pairs(torch.zeros(3, 2), 60, 50)
    with pytest.raises(SolverError, match="at least 2"):
        matched(x, y, known(1))
    with pytest.raises(SolverError, match="NaN"):
        matched(x.index_fill(0, torch.tensor([3]), math.nan), y, known(20))
    with pytest.raises(SolverError, match="not empty"):
        matched(x, y[:0], known(0))


def test_config_goes_through_the_gate() -> None:
    assert build(PopulationConfig, plain(SMALL)) == SMALL
