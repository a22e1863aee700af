from __future__ import annotations

import numpy as np
import pytest
import torch

from raymm.contracts import Feature
from raymm.nn.purifier import Purifier
from raymm.parallel.grid import single


def _purifier(trained: bool, present: np.ndarray) -> tuple[Purifier, torch.Tensor]:
    values = np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32)
    generator = torch.Generator().manual_seed(0)
    purifier = Purifier(Feature(values, present), 4, single(), torch.device("cpu"), generator, trained)
    return purifier, torch.from_numpy(values.copy())


@pytest.mark.parametrize("trained", [False, True])
def test_one_product_equals_the_two_layers(trained: bool) -> None:
    purifier, values = _purifier(trained, np.ones(9, bool))
    items = torch.randn(9, 4, generator=torch.Generator().manual_seed(1))
    hidden = torch.nn.functional.linear(values, purifier.inner.T, purifier.inner_bias)
    gates = torch.sigmoid(torch.nn.functional.linear(hidden, purifier.outer.T, purifier.outer_bias))
    torch.testing.assert_close(purifier(items), items * gates)
    learns = {name for name, _ in purifier.named_parameters()}
    assert ("features.table.weight" in learns) == trained


def test_missing_items_let_nothing_through() -> None:
    purifier, _ = _purifier(False, np.arange(9) != 4)
    purified = purifier(torch.ones(9, 4))
    assert not purified[4].any()
    assert (purified[3] > 0).all()


def test_start_values_follow_the_inputs_of_each_layer() -> None:
    purifier, _ = _purifier(False, np.ones(9, bool))
    for weight, inputs in (
        (purifier.inner, 5),
        (purifier.inner_bias, 5),
        (purifier.outer, 4),
        (purifier.outer_bias, 4),
    ):
        assert 0.3 / inputs**0.5 < weight.abs().max() <= 1 / inputs**0.5
