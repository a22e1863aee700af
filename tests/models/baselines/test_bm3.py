from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from raymm.models.baselines.bm3 import SPEC, Bm3Config
from tests.models.baselines.toy import USERS, dense_lightgcn, make, stored, toy_batch, toy_data

CONFIG = Bm3Config(width=5, layers=2, dropout=0.0, alignment_weight=1.5, regularisation=0.1)


def test_losses_follow_their_formula_without_dropout() -> None:
    model, data, triples = make(SPEC, CONFIG), toy_data(), toy_batch().domains[0]
    final = dense_lightgcn(model, data, 2)
    final[USERS:] += model.items().detach().double()
    users, items = final[triples.users], final[triples.positives + USERS]
    predict = lambda x: x @ model.predictor.detach().double() + model.bias.detach().double()  # noqa: E731
    far = lambda x, y: 1 - functional.cosine_similarity(predict(x), y, dim=1)  # noqa: E731
    losses = model(toy_batch())
    assert losses["interaction"].item() == pytest.approx(
        (far(users, items) + far(items, users)).mean().item(), rel=1e-5
    )
    total = torch.zeros(()).double()
    for projection, feature in zip(model.projections, data.domains[0].features.values(), strict=True):
        present = torch.from_numpy(feature.present.copy())[triples.positives].double()
        values = torch.from_numpy(feature.values[triples.positives.numpy()]).double()
        modality = values @ projection.weight().detach().double()
        total += ((far(modality, items) + far(modality, modality)) * present).mean()
    assert losses["modalities"].item() == pytest.approx(1.5 * total.item(), rel=1e-5)
    lengths = (users.norm() + items.norm()) / 32
    assert losses["regulariser"].item() == pytest.approx(0.1 * lengths.item(), rel=1e-5)


def test_scores_are_inner_products_of_predictions() -> None:
    model = make(SPEC, CONFIG)
    final = dense_lightgcn(model, toy_data(), 2)
    final[USERS:] += model.items().detach().double()
    expected = final @ model.predictor.detach().double() + model.bias.detach().double()
    torch.testing.assert_close(stored(model), expected, rtol=1e-5, atol=1e-6)


def test_dropout_follows_the_seed_of_the_batch_and_negatives_do_not_matter() -> None:
    model = make(SPEC, Bm3Config(width=5, dropout=0.5))
    first, again, other = (model(toy_batch(seed=seed))["interaction"].item() for seed in (1, 1, 2))
    assert first == again != other
