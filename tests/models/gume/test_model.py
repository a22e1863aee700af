from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from raymm.contracts import Batch, Triples
from raymm.models.gume.config import DEFAULT, PAPER, AlignmentConfig, GraphConfig, GumeConfig, UserModalityConfig
from raymm.parallel.columns import column_shares
from raymm.parallel.grid import make_grid
from tests.models.gume.toy import ITEMS, USERS, dense_gume, toy_batch, toy_data, toy_model
from tests.processes import run_ranks

SMALL = GraphConfig(neighbours=4, link_neighbours=5)
TOY = replace(DEFAULT, width=6, graph=replace(SMALL, symmetric_links=True))
LETTER = replace(PAPER, width=6, graph=SMALL, regulariser_rows=50)


@pytest.mark.parametrize("modalities", [1, 2, 3])
@pytest.mark.parametrize("missing", [False, True])
@pytest.mark.parametrize("config", [TOY, LETTER], ids=["links both ways", "paper"])
def test_losses_and_scores_equal_the_dense_form(config: GumeConfig, missing: bool, modalities: int) -> None:
    data, batch = toy_data(modalities, missing), toy_batch()
    model = toy_model(config, data)
    expected = dense_gume(model, config, data, batch)
    losses = model(batch)
    assert len(losses) == 5 + (modalities > 1)
    for name, loss in losses.items():
        torch.testing.assert_close(loss.double(), expected[name], rtol=2e-5, atol=1e-8, msg=name)
    scorer = model.scorer("toy")
    torch.testing.assert_close(
        torch.cat([scorer.users, scorer.items]).double(), expected["final"], rtol=1e-4, atol=1e-6
    )
    whole = ((expected["shares"].sum(1) - 1).abs() < 1e-9).sum()
    bare = {1: 3, 2: 1, 3: 1}[modalities] if missing else 0  # items without any modality
    assert whole == USERS + ITEMS - bare


def test_equal_modalities_leave_the_coarse_part_alone() -> None:
    data = toy_data(2)
    domain = data.domains[0]
    same = dict.fromkeys(("text", "image"), domain.features["text"])
    data = replace(data, domains=(replace(domain, features=same),))
    model = toy_model(TOY, data)
    model.modalities.purifiers[1].load_state_dict(model.modalities.purifiers[0].state_dict())
    features = model.modalities()
    torch.testing.assert_close(features.explicit_items[:, :6], features.explicit_items[:, 6:], rtol=0, atol=0)
    dense = dense_gume(model, TOY, data, toy_batch())
    torch.testing.assert_close(dense["integrated"], dense["coarse"] / 3)
    scorer = model.scorer("toy")
    torch.testing.assert_close(
        scorer.users, (features.nodes[:USERS, :6] + features.explicit_users[:, :6] / 3).detach(), rtol=1e-5, atol=1e-6
    )
    assert model(toy_batch())["internal_alignment"].item() == 0


def test_no_layers_return_the_tables() -> None:
    config = replace(TOY, graph=replace(SMALL, interaction_layers=0, item_layers=0))
    model = toy_model(config, toy_data())
    features = model.modalities()
    tables = torch.cat([model.modalities.users(), model.modalities.items()])
    torch.testing.assert_close(features.nodes[:, :6], tables, rtol=0, atol=0)


def test_each_table_of_extended_users_would_move_as_their_mean_does() -> None:
    """Two user tables with an Adam state each, of which the mean enters, against the one that starts at their mean."""
    data = toy_data()
    one, two = toy_model(TOY, data), toy_model(TOY, data)
    start = two.modalities.extended.weight.detach().clone()
    shift = 0.1 * torch.randn(start.shape, generator=torch.Generator().manual_seed(0))
    pair = [torch.nn.Parameter(start + shift), torch.nn.Parameter(start - shift)]
    others = [p for name, p in two.named_parameters() if name != "modalities.extended.weight"]
    first = torch.optim.Adam(one.parameters(), lr=1e-2)
    second = torch.optim.Adam([*others, *pair], lr=1e-2)
    for step in range(5):
        for model, optimizer in ((one, first), (two, second)):
            optimizer.zero_grad()
            if model is two:
                with torch.no_grad():
                    two.modalities.extended.weight.copy_((pair[0] + pair[1]) / 2)
                two.modalities.extended.weight.grad = None
            sum(model(toy_batch(seed=step)).values()).backward()
            if model is two:
                for table in pair:
                    table.grad = two.modalities.extended.weight.grad / 2
            optimizer.step()
    moved = one.modalities.extended.weight.detach()
    assert (moved - start).abs().max() > 0.02
    torch.testing.assert_close(moved, (pair[0] + pair[1]).detach() / 2, rtol=0, atol=2e-4)


@pytest.mark.parametrize("config", [TOY, LETTER], ids=["links both ways", "paper"])
def test_every_parameter_gets_a_gradient(config: GumeConfig) -> None:
    model = toy_model(config, toy_data(3, missing=True))
    sum(model(toy_batch()).values()).backward()
    names = [name for name, _ in model.named_parameters()]
    assert len(names) > 10
    assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    grouped = [id(p) for group in model.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


def test_weight_zero_removes_a_term_and_what_only_it_trains() -> None:
    none = replace(
        TOY,
        alignment=AlignmentConfig(internal_weight=0, external_weight=0),
        user_modality=UserModalityConfig(weight=0, regularisation=0),
    )
    model = toy_model(none, toy_data())
    losses = model(toy_batch())
    assert set(losses) == {"rank", "regulariser"}
    assert "modalities.extended.weight" not in dict(model.named_parameters())
    sum(losses.values()).backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_attention_is_reported_once_an_epoch() -> None:
    model = toy_model(TOY, toy_data())
    model.start_epoch(1)
    model(toy_batch())
    model(toy_batch(seed=6))
    seen = model.diagnostics()
    assert set(seen) == {"attention.text", "attention.image"}
    assert sum(seen.values()) == pytest.approx(1)
    assert model.diagnostics() == {}


def test_the_noise_follows_the_seed_of_the_batch() -> None:
    model, batch = toy_model(TOY, toy_data()), toy_batch()
    again, other = model(batch), model(Batch(batch.domains, batch.seed + 1))
    assert model(batch)["user_modality"] == again["user_modality"] != other["user_modality"]
    assert again["external_alignment"] == other["external_alignment"]


def _run(config: GumeConfig, columns: int, data_ranks: int) -> list[float]:
    data = toy_data(2, missing=True)
    grid = make_grid(columns, data_ranks)
    model = toy_model(config, data, grid)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    values = []
    for step in range(3):
        batch = toy_batch(seed=step)
        own = grid.batch_rows(40)
        triples = batch.domains[0]
        rows = [ids[own.start : own.stop] for ids in (triples.users, triples.positives, triples.negatives)]
        losses = model(Batch((Triples(*rows, total=40),), batch.seed))
        values.extend(loss.item() for loss in losses.values())
        optimizer.zero_grad()
        sum(losses.values()).backward()
        if grid.data_group is not None:
            for parameter in model.parameters():
                torch.distributed.all_reduce(parameter.grad, group=grid.data_group)
                parameter.grad /= grid.data_parallel
        optimizer.step()
    scorer = model.scorer("toy")
    assert column_shares(model)
    return [*values, *scorer.scores(torch.arange(3)).flatten().tolist()]


def _rank_runs(rank: int) -> list[list[float]]:
    return [_run(config, *ranks) for ranks in ((2, 1), (1, 2)) for config in (TOY, LETTER)]


def test_any_grid_of_ranks_computes_the_same() -> None:
    alone = [_run(config, 1, 1) for config in (TOY, LETTER)]
    assert [len(values) for values in alone] == [3 * 6 + 3 * ITEMS] * 2
    for values in run_ranks(_rank_runs, 2):
        torch.testing.assert_close(torch.tensor(values), torch.tensor([*alone, *alone]), rtol=1e-5, atol=2e-6)
