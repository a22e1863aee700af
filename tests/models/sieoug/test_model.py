import dataclasses

import numpy as np
import pytest
import torch

from raymm.contracts import TrainData
from raymm.data.sampling import TripleSource
from raymm.errors import DataError
from raymm.evaluation.ranking import rank
from raymm.graph.hypergraph import HypergraphConfig
from raymm.graph.votes import VotesConfig
from raymm.models.baselines.popularity import PopularityConfig, fit
from raymm.models.registry import TRAINED
from raymm.models.sieoug import model as sieoug_model
from raymm.models.sieoug.config import DEFAULT, PAPER, SieougConfig, TransferConfig
from raymm.models.sieoug.model import Sieoug
from raymm.models.sieoug.plan import Room, guide_of, plan_of
from raymm.models.spec import Place, Resumable
from raymm.nn.contrastive import guided_contrastive
from raymm.parallel.grid import single
from raymm.training.engine import OptimizerConfig, TorchEngine
from raymm.transport.guided import match
from tests.toy_data import checkerboards, planted_domains, positives_of

CPU = torch.device("cpu")
NONE = VotesConfig(weight=0.0)


def _model(data, seed=0, **changes):
    config = dataclasses.replace(DEFAULT, **{"width": 8, "votes": NONE, **changes})
    structures = TRAINED["sieoug"].structures(config, data, seed)
    return Sieoug(config, data, structures, Place(single(), CPU, seed))


def _batch(data, size=64, epoch=1):
    return next(iter(TripleSource(positives_of(data), size, 0, single()).epoch(epoch)))


def _transfer(**changes):
    return TransferConfig(users=16, warmup_epochs=0, **changes)


def test_losses_equal_their_definitions():
    data, _ = checkerboards(2)
    model = _model(data, transfer=_transfer(weight=0.6))
    model.start_epoch(1)
    batch = _batch(data)
    losses = model(batch)
    squares = 0.0
    for name, triples in zip(("domain0", "domain1"), batch.domains, strict=True):
        scorer = model.scorer(name)
        gap = scorer.pairs(triples.users, triples.positives) - scorer.pairs(triples.users, triples.negatives)
        expected = -torch.nn.functional.logsigmoid(gap).mean()
        assert losses[f"rank.{name}"].item() == pytest.approx(expected.item(), rel=1e-5)
        rows = [scorer.users[triples.users], scorer.items[triples.positives], scorer.items[triples.negatives]]
        squares += sum(row.square().sum().item() for row in rows) / triples.total
    assert losses["regulariser"].item() == pytest.approx(DEFAULT.regularisation * squares, rel=1e-5)


@pytest.mark.parametrize("drawn", [5, 100])
def test_the_softmax_loss_sets_the_chosen_against_the_same_items_for_all_rows(drawn):
    data, _ = checkerboards(2)
    model, batch = _model(data, loss="softmax", drawn=drawn, transfer=_transfer(weight=0.0)), _batch(data)
    model.start_epoch(1)
    losses = model(batch)
    squares = 0.0
    for side, triples in enumerate(batch.domains):
        scorer = model.scorer(f"domain{side}")
        items = model._drawn(24, batch.seed)
        assert len(items) == len(items.unique()) == min(drawn, 24)
        scores, own = scorer.scores(triples.users).double(), 0.0
        for row, item in enumerate(triples.positives):
            others = [scores[row, other] for other in items if other != item]
            own += (torch.logsumexp(torch.stack([scores[row, item], *others]), 0) - scores[row, item]).item()
        assert losses[f"rank.domain{side}"].item() == pytest.approx(own / triples.total, rel=1e-5)
        rows = [scorer.users[triples.users], scorer.items[triples.positives]]
        squares += sum(row.square().sum().item() for row in rows) / triples.total
    assert losses["regulariser"].item() == pytest.approx(DEFAULT.regularisation * squares, rel=1e-5)


def test_histories_vote_beside_the_embeddings():
    data, _ = checkerboards(2)
    alone, voted = (_model(data, votes=votes).scorer("domain1") for votes in (NONE, VotesConfig(weight=2.0)))
    assert torch.equal(alone.users, voted.users)
    gap = voted.scores(torch.arange(40)) - alone.scores(torch.arange(40))
    assert gap.abs().max() > 0.1


def test_the_guidance_loss_is_weighed_by_users_over_rows():
    data, _ = checkerboards(2)
    batch = _batch(data)
    values = {}
    for reduction in ("mean", "per_row"):
        model = _model(data, transfer=_transfer(weight=0.6, reduction=reduction))
        model.start_epoch(1)
        values[reduction] = model(batch)["guidance"].item()
    rows = max(triples.total for triples in batch.domains)
    assert values["per_row"] == pytest.approx(values["mean"] * 16 / rows, rel=1e-5)


def test_matching_starts_after_the_warm_up():
    data, _ = checkerboards(2)
    model = _model(data, transfer=TransferConfig(users=16, warmup_epochs=2))
    seen = []
    for epoch in (1, 2, 3):
        diagnostics = model.start_epoch(epoch)
        seen.append(("guidance" in model(_batch(data, epoch=epoch)), diagnostics["transfer.active"]))
    assert seen == [(False, 0.0), (False, 0.0), (True, 1.0)]
    observed = model.diagnostics()
    assert observed["match.converged"] == 1
    assert observed["match.leaked"] == pytest.approx(0, abs=1e-6)
    assert observed["guidance.gradient_ratio"] > 0
    assert model.diagnostics() == {}


def _gradient_of_first(model, batch):
    model.zero_grad()
    model.start_epoch(1)
    sum(model(batch).values()).backward()
    return model.towers[0].users.weight.grad.clone()


def test_without_transfer_the_domains_do_not_touch():
    data, _ = checkerboards(2)
    batch = _batch(data)
    other = dataclasses.replace(batch, domains=(batch.domains[0], _batch(data, epoch=2).domains[1]))
    for weight, untouched in ((0.0, True), (0.6, False)):
        model = _model(data, transfer=_transfer(weight=weight))
        before = _gradient_of_first(model, batch)
        with torch.no_grad():
            model.towers[1].users.weight.add_(0.3 * torch.randn(model.towers[1].users.weight.shape))
        assert torch.equal(_gradient_of_first(model, other), before) == untouched


def test_no_gradient_flows_through_the_plan(monkeypatch):
    data, _ = checkerboards(2)
    model, batch, plans = _model(data, transfer=_transfer(weight=0.6)), _batch(data), []

    def recorded(*args):
        plans.append(match(*args))
        return plans[-1]

    monkeypatch.setattr(sieoug_model, "match", recorded)
    model.start_epoch(1)
    tables = [tower.users.weight for tower in model.towers]
    found = torch.autograd.grad(model(batch)["guidance"], tables)
    source, target, n_shared = model._pools.draw(torch.Generator().manual_seed(batch.seed))
    assert n_shared == 8  # half of the batch at most
    left, right = (
        torch.nn.functional.normalize(tower.user_rows(tower.views(batch.seed), rows))
        for tower, rows in zip(model.towers, (source, target), strict=True)
    )
    (plan,) = plans
    constants = [torch.from_numpy(part.detach().numpy().copy()) for part in (plan.rows, plan.columns)]
    loss = guided_contrastive(left @ right.T, *constants, model._config.transfer.temperature)
    scale = 0.6 * len(source) / max(triples.total for triples in batch.domains)
    for gradient, expected in zip(found, torch.autograd.grad(scale * loss, tables), strict=True):
        assert expected.abs().max() > 0
        torch.testing.assert_close(gradient, expected, rtol=1e-4, atol=1e-8)


def test_domains_without_shared_users_can_be_matched_by_distance():
    data, _ = checkerboards(2)
    bare = TrainData(data.domains, np.empty((0, 2), np.int64), "bare")
    model = _model(bare, transfer=_transfer())
    model.start_epoch(1)
    assert torch.isfinite(model(_batch(bare))["guidance"])
    assert model.diagnostics()["match.relation_used"] == 0


def _population(**changes):
    return _transfer(scope="population", refresh_epochs=2, **changes)


def test_with_whole_populations_a_step_follows_its_part_of_the_plan():
    data, _ = checkerboards(2)
    model = _model(data, transfer=_population(weight=0.6))
    facts = model.start_epoch(1)
    assert (facts["transfer.active"], facts["population.reached"], facts["population.age"]) == (1, 1, 0)
    batch = _batch(data)
    loss = model(batch)["guidance"].item()
    assert "match.error" not in model.diagnostics()  # nothing is solved in a step
    generator = torch.Generator().manual_seed(batch.seed)
    pairs, others = model._pools.draw_source(generator)
    guide = guide_of(plan_of(_below_current(model.extra_state())), pairs, others, Room(8, 40), generator)
    assert len(pairs) == 8
    assert torch.equal(guide.rows[:8, :8], torch.eye(8))
    users = [model.scorer(name).users for name in ("domain0", "domain1")]
    left, right = (
        torch.nn.functional.normalize(side[rows])
        for side, rows in zip(users, (guide.source, guide.target), strict=True)
    )
    expected = guided_contrastive(left @ right.T, guide.rows, guide.columns, 0.2)
    rows = max(triples.total for triples in batch.domains)
    assert loss == pytest.approx(0.6 * len(left) / rows * expected.item(), rel=1e-5)


def _below_current(state):
    return {name.removeprefix("current."): tensor for name, tensor in state.items() if name.startswith("current.")}


def _losses(model, epochs):
    data, _ = checkerboards(2)
    engine = TorchEngine(model, single(), OptimizerConfig(learning_rate=0.01), CPU)
    source = TripleSource(positives_of(data), 64, 0, single())
    history = {}
    for epoch in epochs:
        model.start_epoch(epoch)
        history[epoch] = [engine.step(batch) for batch in source.epoch(epoch)]
    return history, engine


@pytest.mark.parametrize("stop", [2, 3, 4])
def test_a_checkpoint_goes_on_with_the_same_plans(stop, tmp_path):
    data, _ = checkerboards(2)
    transfer = _population(weight=0.6)
    whole, _ = _losses(_model(data, transfer=transfer), range(1, 7))
    first = _model(data, transfer=transfer)
    _, engine = _losses(first, range(1, stop + 1))
    engine.save(tmp_path)
    again = _model(data, transfer=transfer)
    resumed = TorchEngine(again, single(), OptimizerConfig(learning_rate=0.01), CPU)
    resumed.load(tmp_path)
    again.load_extra_state({name: tensor.clone() for name, tensor in first.extra_state().items()})
    source = TripleSource(positives_of(data), 64, 0, single())
    for epoch in range(stop + 1, 7):
        again.start_epoch(epoch)
        assert [resumed.step(batch) for batch in source.epoch(epoch)] == whole[epoch]


def test_steps_that_match_for_themselves_have_nothing_more_to_keep():
    data, _ = checkerboards(2)
    model = _model(data, transfer=_transfer())
    model.start_epoch(1)
    assert isinstance(model, Resumable)
    assert model.extra_state() == {}


def test_whole_populations_without_known_pairs_are_an_error_that_says_what_to_do():
    data, _ = checkerboards(2)
    bare = TrainData(data.domains, np.empty((0, 2), np.int64), "bare")
    with pytest.raises(DataError, match="0 known pairs of domain0 and domain1") as caught:
        _model(bare, transfer=_population())
    assert "transfer.scope=batch" in caught.value.remedy


def test_where_everybody_of_a_domain_is_known_there_is_nothing_to_plan():
    data, _ = checkerboards(2)
    known = TrainData(data.domains, np.column_stack([np.arange(40)] * 2), "known")
    model = _model(known, transfer=_population())
    assert model.start_epoch(1) == {"transfer.active": 1.0}
    assert torch.isfinite(model(_batch(known))["guidance"])


def test_projections_learn_at_their_own_rate():
    data, _ = checkerboards(2)
    groups = _model(data, item_input="multimodal").parameter_groups()
    assert [(group.name, group.learning_rate_scale) for group in groups] == [("tables", 1.0), ("projections", 0.1)]
    assert len(groups[1].parameters) == 4


def test_the_paper_preset_reports_its_attention():
    data, _ = checkerboards(2)
    config = dataclasses.replace(
        PAPER,
        width=8,
        hypergraph=HypergraphConfig(clusters=2),
        transfer=dataclasses.replace(PAPER.transfer, users=16, warmup_epochs=0),
    )
    structures = TRAINED["sieoug"].structures(config, data, 0)
    model = Sieoug(config, data, structures, Place(single(), CPU, 0))
    model.start_epoch(1)
    model(_batch(data))
    observed = model.diagnostics()
    assert sum(observed[f"attention.domain0.{view}"] for view in ("interactions", "pair", "hyper")) == pytest.approx(1)


def _ndcg(data, holdouts, config, seed):
    structures = TRAINED["sieoug"].structures(config, data, seed)
    model = Sieoug(config, data, structures, Place(single(), CPU, seed))
    engine = TorchEngine(model, single(), OptimizerConfig(learning_rate=0.01), CPU)
    source = TripleSource(positives_of(data), 512, seed, single())
    for epoch in range(1, 41):
        model.start_epoch(epoch)
        for batch in source.epoch(epoch):
            engine.step(batch)
    return rank(model.scorer("domain1"), holdouts[1], (10,)).means()["ndcg@10"]


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("known", [0.1, 0.3])
def test_known_pairs_carry_taste_over_and_wrong_pairs_do_harm(known):
    """Users have 20 interactions in one domain and 2 in the other; a tenth, or three in ten, are known in both."""
    transfer = TransferConfig(weight=0.1, reduction="mean", warmup_epochs=3, users=128)
    with_transfer = SieougConfig(width=32, regularisation=1e-2, transfer=transfer)
    without = dataclasses.replace(with_transfer, transfer=dataclasses.replace(transfer, weight=0.0))
    rows = []
    for seed in range(3):
        true, wrong, holdouts = planted_domains(known, seed)
        popular = rank(fit(PopularityConfig(), true)["domain1"], holdouts[1], (10,)).means()["ndcg@10"]
        rows.append(
            [
                popular,
                _ndcg(true, holdouts, without, seed),
                _ndcg(true, holdouts, with_transfer, seed),
                _ndcg(wrong, holdouts, with_transfer, seed),
            ]
        )
    popular, alone, guided, misled = np.mean(rows, axis=0)
    assert guided > alone > popular
    assert misled < alone
