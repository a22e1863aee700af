from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from raymm.contracts import Feature
from raymm.nn.features import FrozenFeatures, Projection, TrainedFeatures, presence
from raymm.parallel.grid import single

CPU = torch.device("cpu")


def _feature(missing: bool = True) -> Feature:
    values = np.random.default_rng(0).normal(size=(12, 5)).astype(np.float32)
    values[7] = values[2]
    values[9] = -0.0
    present = np.ones(12, bool)
    if missing:
        present[[3, 4]] = False
    return Feature(values, present)


def test_distinct_rows_project_as_all_rows_do() -> None:
    feature = _feature()
    frozen = FrozenFeatures(feature, CPU)
    assert frozen.width == 5
    assert len(frozen._rows) == 9  # two equal rows, two absent ones and a zero row
    weight, bias = torch.randn(5, 3), torch.randn(3)
    masked = torch.from_numpy(feature.values * feature.present[:, None])
    torch.testing.assert_close(frozen.project(weight, bias), masked @ weight + bias)


def test_projection_is_zero_for_missing_items() -> None:
    projection = Projection(_feature(), 4, single(), CPU, torch.Generator().manual_seed(0))
    projected = projection()
    assert not projected[[3, 4]].any()
    assert projected[0].any()
    items = torch.tensor([7, 3, 7, 11])
    torch.testing.assert_close(projection.rows(items), projected[items])
    assert projection.present(items).tolist() == [1, 0, 1, 1]
    assert presence(_feature(missing=False), CPU) is None


def test_items_without_the_modality_share_a_trained_vector_where_the_feature_says_so() -> None:
    feature = replace(_feature(), learned=True)
    projection = Projection(feature, 4, single(), CPU, torch.Generator().manual_seed(0))
    plain = Projection(_feature(), 4, single(), CPU, torch.Generator().manual_seed(0))
    torch.testing.assert_close(projection(), plain())  # it starts at zero, and takes nobody's random numbers
    optimiser = torch.optim.SGD(projection.parameters(), lr=0.1)
    (projection() - 1).square().sum().backward()
    optimiser.step()
    projected = projection()
    torch.testing.assert_close(projected[3], torch.full((4,), 0.4))  # two items, each with gradient -2
    torch.testing.assert_close(projected[3], projected[4])
    items = torch.tensor([7, 3, 11])
    torch.testing.assert_close(projection.rows(items), projected[items])
    assert "absent.weight" not in dict(plain.named_parameters())


def test_trained_features_start_at_the_values_and_learn() -> None:
    feature = _feature()
    features = TrainedFeatures(feature, single())
    weight = torch.linspace(-1, 1, 20).view(5, 4)
    projected = features.project(weight, torch.arange(4.0))
    expected = (feature.values * feature.present[:, None]) @ weight.numpy() + np.arange(4)
    np.testing.assert_allclose(projected.detach(), expected, rtol=1e-5, atol=1e-5)
    projected.sum().backward()
    torch.testing.assert_close(features.table.weight.grad, weight.sum(1).expand(12, 5))
