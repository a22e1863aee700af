from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from raymm.graph.item_graphs import item_graphs
from raymm.models.baselines.mgcn import SPEC, MgcnConfig
from raymm.nn.contrastive import info_nce
from tests.models.baselines.toy import USERS, dense_lightgcn, make, stored, toy_batch, toy_data

CONFIG = MgcnConfig(width=5, neighbours=4, contrast_weight=0.5)


def _dense(model, data) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the behaviour and what modalities add to it, for users and items, by the paper's formulas."""
    behaviour = dense_lightgcn(model, data, 2)
    ratings = data.domains[0].interactions.toarray().astype(float)
    scale = [1 / (ratings.sum(axis) ** 0.5).clip(1e-9) for axis in (1, 0)]
    to_users = torch.from_numpy(scale[0][:, None] * ratings * scale[1][None])
    views = []
    for purifier, graph in zip(model.purifiers, item_graphs(data.domains[0].features, 4).values(), strict=True):
        items = torch.from_numpy(graph.toarray()).double() @ purifier(model.items()).detach().double()
        views.append(torch.cat([to_users @ items, items]))
    mixture = model.mixture
    weight, bias, query = (p.detach().double() for p in mixture.attention.parameters())
    logits = torch.stack([torch.tanh(view @ weight.T + bias) @ query for view in views], 1)
    shares = torch.softmax(logits, 1)
    coarse = sum(shares[:, place, None] * view for place, view in enumerate(views))
    gates, biases = mixture.gates.detach().double(), mixture.biases.detach().double()
    fine = [torch.sigmoid(behaviour @ gates[p] + biases[p]) * (view - coarse) for p, view in enumerate(views)]
    return behaviour, (sum(fine) + coarse) / 3


def test_embeddings_and_losses_follow_the_formulas() -> None:
    data = toy_data(missing=False)
    model = make(SPEC, CONFIG, data)
    behaviour, added = _dense(model, data)
    torch.testing.assert_close(stored(model), behaviour + added, rtol=1e-4, atol=1e-6)
    triples, losses = toy_batch().domains[0], model(toy_batch())
    contrast = 0.0
    for rows in (triples.users, triples.positives + USERS):
        left, right = (functional.normalize(table[rows], dim=1) for table in (added, behaviour))
        contrast += info_nce(left @ right.T, 0.2).item()
    assert losses["contrast"].item() == pytest.approx(0.5 * contrast, rel=1e-5)
    final = behaviour + added
    users, chosen, other = (
        final[rows] for rows in (triples.users, triples.positives + USERS, triples.negatives + USERS)
    )
    rank = -((users * chosen).sum(1) - (users * other).sum(1)).sigmoid().log().mean()
    assert losses["rank"].item() == pytest.approx(rank.item(), rel=1e-5)
    squares = sum(rows.square().sum() for rows in (users, chosen, other))
    assert losses["regulariser"].item() == pytest.approx((1e-4 / 2 * squares / 32).item(), rel=1e-5)


def test_an_item_without_any_modality_is_scored_by_behaviour_alone() -> None:
    data = toy_data(missing=True)
    model = make(SPEC, CONFIG, data)
    nothing = USERS + 1  # item 1 has neither text nor image
    torch.testing.assert_close(stored(model)[nothing], dense_lightgcn(model, data, 2)[nothing], rtol=1e-5, atol=1e-6)
