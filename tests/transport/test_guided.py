import dataclasses

import numpy as np
import ot
import pytest
import torch
from scipy.spatial import distance

from raymm.config import build, plain
from raymm.errors import ConfigError, SolverError
from raymm.transport.cost import relation_cost
from raymm.transport.guided import PAPER, MatchConfig, evenly_spaced, match
from raymm.transport.sinkhorn import SolverConfig

TIGHT = SolverConfig(tolerance=1e-11, max_iterations=5000)


def users(n: int, m: int, shared: int, seed: int = 0, turned: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    """Two domains of 16 tastes; the first `shared` are the same people, then as many counterparts as there are."""
    generator = torch.Generator().manual_seed(seed)
    centres = torch.randn(16, 12, generator=generator, dtype=torch.float64)
    people = centres[torch.randint(16, (max(n, m),), generator=generator)]
    people = people + 0.6 * torch.randn(people.shape, generator=generator, dtype=torch.float64)
    noise = [0.1 * torch.randn(size, 12, generator=generator, dtype=torch.float64) for size in (n, m)]
    turn = torch.linalg.qr(torch.randn(12, 12, generator=generator, dtype=torch.float64))[0]
    target = people[:m] + noise[1]
    return people[:n] + noise[0], target @ turn if turned else target


def blended(x: torch.Tensor, y: torch.Tensor, shared: int) -> np.ndarray:
    """The derived cost of SIEOUG, written out with scipy."""
    dist = distance.cdist(x, y, "cosine")
    inner_x, inner_y = distance.cdist(x, x[:shared], "cosine"), distance.cdist(y, y[:shared], "cosine")
    r, q = np.exp(-inner_x / inner_x.max() / 0.1), np.exp(-inner_y / inner_y.max() / 0.1)
    r, q = r / r.sum(1, keepdims=True), q / q.sum(1, keepdims=True)
    js = distance.cdist(r, q, "jensenshannon") ** 2
    mask = np.ones(dist.shape)
    mask[:shared], mask[:, :shared] = 0, 0
    mask[np.arange(shared), np.arange(shared)] = 1
    return 0.5 * dist / dist.max() + 0.5 * js / js.max() + 10.0 * (1 - mask)


def test_paper_match_equals_pot_on_the_written_out_cost() -> None:
    x, y = users(30, 24, 8)
    found = match(x, y, 8, dataclasses.replace(PAPER, solver=TIGHT))
    masses = found.marginals
    truth = ot.sinkhorn(masses.a.numpy(), masses.b.numpy(), blended(x, y, 8), 0.05, "sinkhorn_log", 100_000, 1e-13)
    np.testing.assert_allclose(found.plan, truth, atol=1e-8)
    assert (found.plan >= 0).all()
    np.testing.assert_allclose(found.plan.sum(0), masses.b, atol=1e-7)
    np.testing.assert_allclose(found.plan.sum(1), masses.a, atol=1e-7)


def test_default_match_equals_pot_on_the_unknown_users() -> None:
    x, y = users(30, 24, 8)
    found = match(x, y, 8, MatchConfig(solver=TIGHT))
    cost = relation_cost(x, y, torch.arange(8), "profile", 0.1, "fixed").numpy()[8:, 8:]
    a, b = found.marginals.a.numpy()[8:], found.marginals.b.numpy()[8:]
    truth = ot.unbalanced.sinkhorn_unbalanced(
        a, b, cost, 0.02, 0.05, reg_type="kl", c=np.outer(a, b), numItermax=100_000, stopThr=1e-15
    )
    np.testing.assert_allclose(found.plan[8:, 8:], truth, atol=1e-7)
    assert truth.sum() > 0.01
    torch.testing.assert_close(found.plan.diagonal()[:8], found.marginals.a[:8].float())
    assert float(found.plan[:8].sum()) == pytest.approx(8 / 30)


@pytest.mark.parametrize("marginals", ["balanced", "relaxed"])
def test_hard_mask_is_the_limit_of_a_strong_soft_one(marginals: str) -> None:
    x, y = users(28, 28, 10)
    config = MatchConfig(marginals=marginals, epsilon=0.2, solver=TIGHT)  # type: ignore[arg-type]
    hard = match(x, y, 10, config)
    soft = match(x, y, 10, dataclasses.replace(config, mask="soft", mask_weight=50.0))
    np.testing.assert_allclose(hard.rows, soft.rows, atol=1e-6)
    np.testing.assert_allclose(hard.plan[10:, 10:], soft.plan[10:, 10:], atol=1e-8)
    assert hard.leaked == 0
    assert soft.leaked < 1e-12
    if marginals == "balanced":
        np.testing.assert_allclose(hard.plan, soft.plan, atol=1e-8)


def test_known_pairs_keep_their_mass_when_the_mask_outweighs_epsilon() -> None:
    x, y = users(30, 24, 8)
    found = match(x, y, 8, dataclasses.replace(PAPER, epsilon=0.05))  # weight / epsilon = 200
    assert (found.plan.diagonal()[:8] >= 0.999 * found.marginals.shared_mass).all()
    assert found.leaked < 1e-3


def test_leak_of_a_soft_mask_grows_with_epsilon() -> None:
    x, y = users(60, 60, 20)
    config = MatchConfig(mask="soft", mask_weight=1.0, marginals="balanced", omega=1.0)
    leaks = [match(x, y, 20, dataclasses.replace(config, epsilon=eps)).leaked for eps in (0.01, 0.05, 0.2, 1.0)]
    assert leaks == sorted(leaks)
    assert leaks[0] < 1e-6
    assert leaks[-1] > 0.5


def test_moving_the_known_pairs_moves_the_others_only_through_the_relation() -> None:
    x, y = users(40, 40, 12)
    moved = x.clone()
    moved[:12] = torch.randn(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(9))
    by_distance = MatchConfig(omega=1.0, solver=TIGHT)
    before, after = match(x, y, 12, by_distance).plan[12:, 12:], match(moved, y, 12, by_distance).plan[12:, 12:]
    assert torch.equal(before, after)
    guided = MatchConfig(solver=TIGHT)
    before, after = match(x, y, 12, guided).rows[12:, 12:], match(moved, y, 12, guided).rows[12:, 12:]
    assert float((before - after).abs().max()) > 0.1


@pytest.mark.parametrize("relation", ["js", "hellinger", "profile"])
def test_relation_finds_counterparts_in_a_turned_space_where_distance_cannot(relation: str) -> None:
    x, y = users(150, 150, 40, turned=True)
    truth = torch.arange(40, 150)
    guided = match(x, y, 40, MatchConfig(relation=relation, mask="hard"))  # type: ignore[arg-type]
    direct = match(x, y, 40, MatchConfig(omega=1.0))
    hits = [float((found.rows[40:].argmax(1) == truth).float().mean()) for found in (guided, direct)]
    assert hits[0] > 0.7
    assert hits[1] < 0.1


@pytest.mark.parametrize(("n", "m", "shared"), [(5, 9, 3), (9, 5, 5), (4, 4, 4), (6, 4, 0), (3, 8, 1)])
@pytest.mark.parametrize(
    "config", [MatchConfig(), PAPER, MatchConfig(mask="soft"), MatchConfig(marginals="balanced", epsilon=0.1)]
)
def test_every_size_is_feasible(n: int, m: int, shared: int, config: MatchConfig) -> None:
    x, y = users(n, m, shared)
    found = match(x, y, shared, config)
    assert found.converged
    assert torch.isfinite(found.plan).all()
    assert found.relation_used == (shared >= 2)
    part = (found.marginals.a > 0).float()
    torch.testing.assert_close(found.rows.sum(1), part)
    if config.marginals == "balanced":
        np.testing.assert_allclose(found.plan.sum(1), found.marginals.a, atol=1e-6)
    assert (found.effective_partners[part > 0] >= 1 - 1e-5).all()
    assert (found.effective_partners <= m + 1e-3).all()


def test_no_gradient_and_no_half_precision_inside() -> None:
    x, y = (side.float().requires_grad_() for side in users(20, 20, 5))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = match(x, y, 5)
    plain_result = match(x.detach(), y.detach(), 5)
    assert not found.plan.requires_grad
    assert not found.rows.requires_grad
    assert torch.equal(found.plan, plain_result.plan)


def test_potentials_and_masses_rebuild_the_plan_and_start_the_next_match() -> None:
    x, y = users(30, 24, 8)
    first = match(x, y, 8, PAPER)
    rebuilt = (
        first.marginals.a[:, None]
        * first.marginals.b
        * torch.exp((first.f[:, None] + first.g - torch.from_numpy(blended(x, y, 8))) / 0.05)
    )
    np.testing.assert_allclose(rebuilt, first.plan, atol=1e-7)
    assert match(x, y, 8, PAPER, start=first.g).iterations <= 2 < first.iterations
    hard = match(x, y, 8)
    assert match(x, y, 8, start=hard.g).iterations <= 2 < hard.iterations


def test_spaces_of_unequal_dimension_need_the_relation() -> None:
    x, y = users(20, 20, 6)
    assert match(x[:, :7], y, 6).relation_used
    with pytest.raises(SolverError, match="equal numbers of columns"):
        match(x[:, :7], y, 1)
    with pytest.raises(SolverError, match="equal numbers of columns"):
        match(x[:, :7], y, 6, MatchConfig(omega=0.5))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_embeddings_that_are_not_finite_are_refused(value: float) -> None:
    x, y = users(10, 10, 3)
    y[4, 2] = value
    with pytest.raises(SolverError, match="target embedding 4"):
        match(x, y, 3)


def test_degenerate_embeddings_are_treated_as_stated() -> None:
    equal = torch.ones(6, 4)
    found = match(equal, equal, 2)
    torch.testing.assert_close(found.rows[2:, 2:], torch.full((4, 4), 0.25))
    x, y = users(12, 12, 4)
    x[7] = 0.0
    distant = match(x, y, 4, MatchConfig(omega=1.0))
    torch.testing.assert_close(distant.rows.sum(1), torch.ones(12))
    with pytest.raises(SolverError, match="not empty"):
        match(torch.zeros(0, 4), equal, 0)


def test_an_outlier_does_not_change_the_temperature_of_the_others() -> None:
    x, y = users(60, 60, 20)
    far = torch.cat([x, -50 * x[:1]])
    before, after = match(x, y, 20).rows, match(far, y, 20).rows[:60]
    kept = torch.minimum(before, after).sum(1)  # overlap of the two row distributions
    assert float(kept[20:].mean()) > 0.9


def test_anchors_are_spread_over_the_known_pairs() -> None:
    assert evenly_spaced(10, 4).tolist() == [0, 2, 5, 7]
    assert evenly_spaced(3, 4).tolist() == [0, 1, 2]
    assert len(set(evenly_spaced(1000, 256).tolist())) == 256


def test_config_goes_through_the_gate() -> None:
    assert build(MatchConfig, plain(PAPER)) == PAPER
    with pytest.raises(ConfigError, match="epsilon"):
        MatchConfig(epsilon=0.0)
    with pytest.raises(ConfigError, match="relation"):
        build(MatchConfig, {"relation": "cosine"})
