from __future__ import annotations

import torch

from raymm.nn.preferences import PreferenceMixture, whole_rows
from raymm.parallel.grid import single


def _mixture(modalities: int) -> tuple[PreferenceMixture, tuple[torch.Tensor, ...], torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    mixture = PreferenceMixture(modalities, 4, single(), generator)
    views = tuple(torch.randn(6, 4, generator=generator) for _ in range(modalities))
    return mixture, views, torch.randn(6, 4, generator=generator)


def test_it_follows_the_formula() -> None:
    mixture, views, behaviour = _mixture(3)
    found, weights = mixture(views, behaviour, None)
    attention = mixture.attention
    logits = [torch.tanh(x @ attention.projection.T + attention.bias) @ attention.query for x in views]
    expected = torch.softmax(torch.stack(logits, 1), 1)
    torch.testing.assert_close(weights, expected)
    coarse = sum(expected[:, place, None] * x for place, x in enumerate(views))
    fine = [
        torch.sigmoid(behaviour @ mixture.gates[place] + mixture.biases[place]) * (x - coarse)
        for place, x in enumerate(views)
    ]
    torch.testing.assert_close(found, (sum(fine) + coarse) / 4)


def test_a_missing_modality_is_as_if_it_was_not_there() -> None:
    mixture, views, behaviour = _mixture(3)
    present = torch.ones(6, 3)
    present[:, 1] = 0
    found, weights = mixture(views, behaviour, present)
    other = (views[0], 100 * views[1], views[2])
    again, _ = mixture(other, behaviour, present)
    torch.testing.assert_close(found, again)
    assert (weights[:, 1] == 0).all()
    torch.testing.assert_close(weights.sum(1), torch.ones(6))


def test_an_entity_without_any_modality_gets_zero_and_a_finite_gradient() -> None:
    mixture, _, behaviour = _mixture(2)
    views = tuple(torch.zeros(6, 4).requires_grad_() for _ in range(2))
    found, weights = mixture(views, behaviour, torch.zeros(6, 2))
    assert not found.any()
    assert not weights.any()
    found.sum().backward()
    assert views[0].grad.isfinite().all()
    assert mixture.attention.query.grad.isfinite().all()


def test_whole_rows_of_one_rank_are_its_own() -> None:
    rows = torch.randn(3, 4)
    assert whole_rows(rows, 4, single()) is rows
