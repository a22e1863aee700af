from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from raymm.config import build, plain
from raymm.errors import DataError
from raymm.models.baselines import bm3, bprmf, freedom, lattice, lightgcn, mgcn, vbpr
from raymm.models.baselines.parts import modalities, ranking
from raymm.models.spec import ModelSpec
from raymm.parallel.grid import make_grid, single
from tests.models.baselines.toy import ITEMS, USERS, make, toy_batch, toy_data, train_steps
from tests.processes import run_ranks

MODELS = {
    "bprmf": (bprmf.SPEC, bprmf.BprMfConfig(width=6)),
    "lightgcn": (lightgcn.SPEC, lightgcn.LightGcnConfig(width=6)),
    "vbpr": (vbpr.SPEC, vbpr.VbprConfig(width=6)),
    "lattice": (lattice.SPEC, lattice.LatticeConfig(width=6, neighbours=4, frozen_share=0.5, item_layers=2)),
    "freedom": (freedom.SPEC, freedom.FreedomConfig(width=6, neighbours=4, dropped=0.5, feature_weight=0.1)),
    "bm3": (bm3.SPEC, bm3.Bm3Config(width=6, layers=2)),
    "mgcn": (mgcn.SPEC, mgcn.MgcnConfig(width=6, neighbours=4)),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_parameter_gets_a_gradient(name: str) -> None:
    spec, config = MODELS[name]
    model = make(spec, config)
    model.start_epoch(1)
    sum(model(toy_batch()).values()).backward()
    names = [key for key, _ in model.named_parameters()]
    assert len(names) >= 2
    assert [key for key, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []
    grouped = [id(p) for group in model.parameter_groups() for p in group.parameters]
    assert sorted(grouped) == sorted(id(p) for p in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_training_lowers_the_loss(name: str) -> None:
    spec, config = MODELS[name]
    model = make(spec, config)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    model.start_epoch(1)
    history = []
    for _ in range(30):
        loss = sum(model(toy_batch()).values())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        history.append(loss.item())
    assert history[-1] < 0.95 * history[0]
    assert all(np.isfinite(value) for value in model.diagnostics().values())


@pytest.mark.parametrize("name", MODELS)
def test_configs_survive_plain_data_and_specs_hold_them(name: str) -> None:
    spec, config = MODELS[name]
    assert build(spec.config, plain(config)) == config
    assert spec.name == name
    assert isinstance(spec.presets["default"], spec.config)


def _all(rank: int) -> dict[str, list[list[float]]]:
    return {
        name: [train_steps(spec, config, make_grid(*ranks)) for ranks in ((2, 1), (1, 2))]
        for name, (spec, config) in MODELS.items()
    }


def test_any_grid_of_ranks_computes_the_same() -> None:
    results = run_ranks(_all, 2)
    for name, (spec, config) in MODELS.items():
        alone = torch.tensor(train_steps(spec, config, single()))
        assert len(alone) > 3 * ITEMS
        for found in results:
            for values in found[name]:
                torch.testing.assert_close(torch.tensor(values), alone, rtol=1e-5, atol=3e-6, msg=name)


def test_the_ranking_loss_follows_its_formula() -> None:
    generator = torch.Generator().manual_seed(0)
    users, items = torch.randn(USERS, 4, generator=generator), torch.randn(ITEMS, 4, generator=generator)
    triples = toy_batch().domains[0]
    found = ranking((users, items), triples, [(users, items)], 0.3, single())
    chosen, other = ((users[triples.users] * items[rows]).sum(1) for rows in (triples.positives, triples.negatives))
    torch.testing.assert_close(found["rank"], -(chosen - other).sigmoid().log().mean())
    squares = users[triples.users].square().sum() + items[triples.positives].square().sum()
    squares = squares + items[triples.negatives].square().sum()
    torch.testing.assert_close(found["regulariser"], 0.3 * squares / 2 / 32)
    assert set(ranking((users, items), triples, [], 0.0, single())) == {"rank"}


@pytest.mark.parametrize("name", ["vbpr", "lattice", "freedom", "bm3", "mgcn"])
def test_items_without_features_are_refused(name: str) -> None:
    spec: ModelSpec = MODELS[name][0]
    data = toy_data()
    bare = replace(data, domains=(replace(data.domains[0], features={}),))
    with pytest.raises(DataError, match="lightgcn"):
        make(spec, MODELS[name][1], bare)
    with pytest.raises(DataError):
        modalities(bare.domains[0])
