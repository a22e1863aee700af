import math

import pytest
import torch

from raymm.nn.ranking import binary_cross_entropy, bpr, sampled_softmax


def test_bpr_is_the_mean_of_minus_log_sigmoid():
    positive, negative = torch.tensor([2.0, 0.0, -1.0]), torch.tensor([1.0, 0.0, 3.0])
    by_hand = sum(-math.log(1 / (1 + math.exp(-(p - n)))) for p, n in zip([2, 0, -1], [1, 0, 3], strict=True)) / 3
    assert bpr(positive, negative, 3).item() == pytest.approx(by_hand, rel=1e-6)


def test_bpr_of_parts_adds_up_to_the_whole():
    positive, negative = torch.randn(2, 10, generator=torch.Generator().manual_seed(0)).unbind(0)
    parts = bpr(positive[:4], negative[:4], 10) + bpr(positive[4:], negative[4:], 10)
    assert parts.item() == pytest.approx(bpr(positive, negative, 10).item(), rel=1e-6)


def test_bpr_survives_extreme_scores():
    assert bpr(torch.tensor([-1e4]), torch.tensor([1e4]), 1).item() == pytest.approx(2e4)


def test_binary_cross_entropy_equals_torch():
    positive, negative = torch.randn(2, 8, generator=torch.Generator().manual_seed(1)).unbind(0)
    labels = torch.cat([torch.ones(8), torch.zeros(8)])
    reference = torch.nn.functional.binary_cross_entropy_with_logits(torch.cat([positive, negative]), labels)
    assert binary_cross_entropy(positive, negative, 8).item() == pytest.approx(reference.item(), rel=1e-6)


def test_sampled_softmax_equals_cross_entropy_and_leaves_out_what_is_masked():
    generator = torch.Generator().manual_seed(2)
    positive, negatives = torch.randn(6, generator=generator), torch.randn(6, 9, generator=generator)
    negatives[2, 4] = -torch.inf
    logits = torch.cat([positive[:, None], negatives], dim=1)
    reference = torch.nn.functional.cross_entropy(logits, torch.zeros(6, dtype=torch.int64), reduction="none")
    assert sampled_softmax(positive, negatives, 6).item() == pytest.approx(reference.mean().item(), rel=1e-6)
    parts = sampled_softmax(positive[:2], negatives[:2], 6) + sampled_softmax(positive[2:], negatives[2:], 6)
    assert parts.item() == pytest.approx(reference.mean().item(), rel=1e-6)
