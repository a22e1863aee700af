from __future__ import annotations

import pytest
import torch

from raymm.models.baselines.lightgcn import SPEC, LightGcnConfig
from tests.models.baselines.toy import dense_lightgcn, make, stored, toy_batch, toy_data


@pytest.mark.parametrize("layers", [0, 3])
def test_embeddings_are_the_mean_over_the_layers(layers: int) -> None:
    model = make(SPEC, LightGcnConfig(width=5, layers=layers))
    torch.testing.assert_close(stored(model), dense_lightgcn(model, toy_data(), layers), rtol=1e-5, atol=1e-6)


def test_the_regulariser_sees_the_tables_before_propagation() -> None:
    model, triples = make(SPEC, LightGcnConfig(width=5, regularisation=0.2)), toy_batch().domains[0]
    rows = [model.users()[triples.users], model.items()[triples.positives], model.items()[triples.negatives]]
    expected = 0.2 / 2 * sum(row.square().sum() for row in rows) / 32
    torch.testing.assert_close(model(toy_batch())["regulariser"], expected)
