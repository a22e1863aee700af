"""Start values come from the generator alone."""

from __future__ import annotations

import torch

from raymm.nn.linear import linear


def test_the_generator_decides_and_the_bound_holds() -> None:
    first, second = (linear(16, 40, torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(first.weight, second.weight)
    assert torch.equal(first.bias, second.bias)
    assert 0.2 < first.weight.abs().max() <= 0.25
    assert linear(4, 2, torch.Generator(), bias=False).bias is None
