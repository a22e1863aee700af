from __future__ import annotations

import torch

from raymm.nn.noise import perturbed


def test_noise_has_its_length_keeps_signs_and_leaves_zeros() -> None:
    generator = torch.Generator().manual_seed(0)
    rows = torch.randn(50, 6, generator=generator)
    draws = torch.rand(50, 6, generator=generator)
    moved = perturbed(rows, draws, 0.1)
    torch.testing.assert_close((moved - rows).norm(dim=1), torch.full((50,), 0.1), rtol=1e-4, atol=1e-6)
    assert (torch.sign(moved) == torch.sign(rows)).all()
    rows[3, 2] = 0
    rows[4] = 0
    moved = perturbed(rows, draws, 0.1)
    assert moved[3, 2] == 0
    assert not moved[4].any()


def test_the_gradient_is_that_of_the_rows() -> None:
    rows = torch.randn(5, 3, generator=torch.Generator().manual_seed(1)).requires_grad_()
    perturbed(rows, torch.rand(5, 3), 0.1).sum().backward()
    torch.testing.assert_close(rows.grad, torch.ones(5, 3))
