"""The plan between all users, and its part for one step, against dense matching and counted draws."""

import dataclasses

import pytest
import torch

from raymm.errors import SolverError
from raymm.models.sieoug.plan import Plan, Room, guide_of, plan_of, solve_plan
from raymm.transport.guided import MatchConfig, match
from raymm.transport.partitioned import PartitionConfig
from raymm.transport.population import PopulationConfig
from tests.transport.people import domains

EXACT = PopulationConfig(top_k=80, partition=PartitionConfig(cells=8, target_gap=1e-6))
PAIRS = torch.arange(20)[:, None].repeat(1, 2)


def _inputs(moved=0.0, **more):
    x, y = domains(90, 80, 40, torch.float32)
    noise = torch.randn(x.shape, generator=torch.Generator().manual_seed(5))
    return {"source": x + moved * noise, "target": y, "pairs": PAIRS, **more}


def _plan(config=EXACT, **more):
    return plan_of(solve_plan(_inputs(**more), config, 0))


def _weights(plan):
    dense = torch.zeros(90, 81)
    return dense.scatter_(1, plan.targets % 81, plan.weights)[:, :80]


def test_a_small_population_has_the_plan_of_one_dense_match():
    inputs, plan = _inputs(), _plan()
    dense = match(inputs["source"].double(), inputs["target"].double(), 20, MatchConfig())
    torch.testing.assert_close(_weights(plan)[20:], dense.rows[20:], atol=2e-3, rtol=0)
    masses = dense.plan.double().sum(1)[20:]
    torch.testing.assert_close(plan.mass[20:] / plan.mass.sum(), masses / masses.sum(), atol=1e-5, rtol=0)
    assert (plan.targets[:20] == -1).all()
    assert not torch.isin(plan.targets[20:], torch.arange(20)).any()
    assert plan.facts["gap"] < 1e-6 + 1e-4
    assert plan.facts["listed_mass"] == pytest.approx(1, abs=1e-4)
    assert plan.facts["matched_mass"] == pytest.approx(float(plan.mass.sum()), rel=1e-2)
    effective = dense.effective_partners[20:].mean().item()
    assert plan.facts["effective_partners"] == pytest.approx(effective, rel=1e-2)


def test_a_plan_survives_its_tensors():
    plan = _plan()
    again = plan_of(plan.tensors())
    assert again.facts == plan.facts
    assert all(torch.equal(getattr(again, name), getattr(plan, name)) for name in ("targets", "weights", "mass", "g"))


def test_the_last_potentials_save_iterations_and_change_nothing_else():
    config = dataclasses.replace(EXACT, partition=PartitionConfig(cells=8, tolerance=1e-5))
    first = _plan(config)
    cold, warm = _plan(config, moved=0.01), _plan(config, moved=0.01, start=first.g)
    assert 0 < warm.facts["iterations"] < cold.facts["iterations"]
    torch.testing.assert_close(_weights(warm), _weights(cold), atol=5e-3, rtol=0)


def test_users_that_cannot_be_matched_are_an_error():
    inputs = _inputs()
    inputs["source"] = inputs["source"].clone()
    inputs["source"][3, 0] = torch.nan
    with pytest.raises(SolverError, match="NaN"):
        solve_plan(inputs, EXACT, 0)


def _toy_plan():
    targets = torch.tensor([[-1, -1, -1], [4, 3, 5], [5, 3, -1], [3, 4, 5]])
    weights = torch.tensor([[0, 0, 0], [0.6, 0.3, 0.05], [0.7, 0.2, 0], [0.5, 0.25, 0.25]])
    return Plan(targets, weights, torch.tensor([0.0, 0.2, 0.1, 0.4]).double(), torch.zeros(3).double(), {})


def _guide(room, seed=0, source=(1, 2, 3), pairs=((0, 2),)):
    generator = torch.Generator().manual_seed(seed)
    return guide_of(_toy_plan(), torch.tensor(pairs), torch.tensor(source), Room(room, 6), generator)


def test_with_room_for_all_the_guide_is_the_plan_between_those_drawn():
    guide = _guide(6)
    assert (guide.source.tolist(), guide.target.tolist()) == ([0, 1, 2, 3], [2, 3, 4, 5])
    block = torch.tensor([[0.3, 0.6, 0.05], [0.2, 0, 0.7], [0.5, 0.25, 0.25]])
    torch.testing.assert_close(guide.rows[1:, 1:], block / block.sum(1, keepdim=True))
    mass = torch.tensor([0.2, 0.1, 0.4])[:, None] * block
    torch.testing.assert_close(guide.columns[1:, 1:], mass / mass.sum(0))


def test_a_known_pair_has_weight_one_and_no_other_partner():
    for room in (3, 6):
        guide = _guide(room)
        for weights in (guide.rows, guide.columns):
            assert weights[0, 0] == 1
            assert weights[0, 1:].sum() == weights[1:, 0].sum() == 0


def test_nobody_is_left_without_a_partner_and_the_room_is_kept():
    sizes = set()
    for seed in range(50):
        guide = _guide(2, seed, source=(1, 3))
        sizes.add(len(guide.target) - 1)
        torch.testing.assert_close(guide.rows.sum(1), torch.ones(3))
        assert len(set(guide.target.tolist())) == len(guide.target)
    assert sizes == {2}


def test_the_first_partner_is_drawn_by_weight():
    drawn = [_guide(1, seed, source=(1,)).target[1].item() for seed in range(3000)]
    shares = [drawn.count(target) / 3000 for target in (3, 4, 5)]
    assert shares == pytest.approx([0.3 / 0.95, 0.6 / 0.95, 0.05 / 0.95], abs=0.03)


def test_the_draw_does_not_hang_on_the_order_of_lists():
    plan = _toy_plan()
    turned = dataclasses.replace(plan, targets=plan.targets.flip(1), weights=plan.weights.flip(1))
    for seed in range(20):
        guides = [
            guide_of(
                made, torch.tensor([[0, 2]]), torch.tensor([1, 2]), Room(2, 6), torch.Generator().manual_seed(seed)
            )
            for made in (plan, turned)
        ]
        assert torch.equal(guides[0].target, guides[1].target)
        assert torch.equal(guides[0].rows, guides[1].rows)


def test_without_a_plan_known_pairs_alone_guide():
    guide = guide_of(None, torch.tensor([[0, 2]]), torch.tensor([1, 2]), Room(0, 6), torch.Generator())
    assert guide.rows.tolist() == guide.columns.tolist() == [[1.0], [0.0], [0.0]]


def test_users_whom_nobody_fits_have_no_row():
    plan = dataclasses.replace(_toy_plan(), weights=torch.zeros(4, 3))
    guide = guide_of(plan, torch.tensor([[0, 2]]), torch.tensor([1, 2]), Room(2, 6), torch.Generator())
    assert guide.rows.tolist() == [[1.0], [0.0], [0.0]]
