import numpy as np
import pytest
import torch
from scipy.spatial import distance

from raymm.errors import SolverError
from raymm.transport import bilinear, cost
from tests.transport.people import domains, masses


def known(count: int) -> torch.Tensor:
    return torch.arange(count)[:, None].repeat(1, 2)


def test_cosine_and_squared_euclidean_agree_with_scipy() -> None:
    x, y = domains(9, 7, 3)
    np.testing.assert_allclose(bilinear.cosine(x, y).dense(), distance.cdist(x, y, "cosine"), atol=1e-12)
    far = x + 1000.0
    expected = distance.cdist(far, y + 1000.0, "sqeuclidean")
    np.testing.assert_allclose(bilinear.squared_euclidean(far, y + 1000.0).dense(), expected, atol=1e-9)
    single = bilinear.squared_euclidean(far.float(), (y + 1000.0).float()).dense()
    np.testing.assert_allclose(single, expected, atol=2e-3 * expected.max())


@pytest.mark.parametrize("count", [5, 40])
def test_profile_is_the_dense_one_in_few_coordinates(count: int) -> None:
    x, y = domains(60, 50, 40, turned=True)
    found = bilinear.profile(x, y, known(count))
    truth = cost.relation_cost(x, y, torch.arange(count), "profile", 0.1, "fixed")
    torch.testing.assert_close(found.dense(), truth, atol=1e-10, rtol=0)
    assert found.source.shape[1] == min(count, 16)


def test_hellinger_relation_is_the_dense_one() -> None:
    x, y = domains(60, 50, 20)
    truth = cost.relation_cost(x, y[:, :9], torch.arange(20), "hellinger", 0.1, "fixed")
    torch.testing.assert_close(bilinear.hellinger_relation(x, y[:, :9], known(20)).dense(), truth, atol=1e-12, rtol=0)


def test_procrustes_undoes_a_rotation() -> None:
    x, _ = domains(60, 60, 60)
    turn, _ = torch.linalg.qr(torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))
    assert float(bilinear.procrustes(x, x @ turn, known(30)).dense().diagonal().abs().max()) < 1e-10


def test_blend_adds_up_and_refuses_negative_weights() -> None:
    x, y = domains(12, 9, 4)
    one, two = bilinear.cosine(x, y), bilinear.squared_euclidean(x, y)
    torch.testing.assert_close(bilinear.blend([(0.3, one), (0.7, two)]).dense(), 0.3 * one.dense() + 0.7 * two.dense())
    assert bilinear.blend([(1.0, one), (0.0, two)]).source.shape == one.source.shape
    with pytest.raises(SolverError, match="weights"):
        bilinear.blend([(1.5, one), (-0.5, two)])


def test_soft_mask_take_transpose_and_mean_follow_the_dense_cost() -> None:
    x, y = domains(12, 9, 4)
    pairs = torch.tensor([[5, 2], [1, 8], [3, 0]])
    masked = bilinear.with_soft_mask(bilinear.cosine(x, y), pairs, 4.0)
    truth = bilinear.cosine(x, y).dense()
    penalty = torch.zeros(12, 9, dtype=torch.float64)
    penalty[pairs[:, 0]], penalty[:, pairs[:, 1]] = 4.0, 4.0
    penalty[pairs[:, 0], pairs[:, 1]] = 0.0
    truth += penalty
    torch.testing.assert_close(masked.dense(), truth)
    rows, columns = torch.tensor([7, 5, 3, 0]), torch.tensor([8, 2, 1])
    torch.testing.assert_close(masked.take(rows, columns).dense(), truth[rows][:, columns])
    torch.testing.assert_close(masked.transposed().dense(), truth.T)
    a, b = masses(12), masses(9)
    assert masked.mean(a, b) == pytest.approx(float(a @ truth @ b))
    with pytest.raises(SolverError, match="masked already"):
        bilinear.with_soft_mask(masked, pairs, 1.0)


def test_bad_points_are_refused_with_their_row() -> None:
    x, y = domains(12, 9, 4)
    with pytest.raises(SolverError, match="first at row 3"):
        bilinear.cosine(x.index_fill(0, torch.tensor([3, 7]), 0.0), y)
    zero = x.index_fill(0, torch.tensor([5]), 0.0)
    for relative in (bilinear.profile, bilinear.hellinger_relation, bilinear.procrustes):
        with pytest.raises(SolverError, match="1 zero vectors, the first at row 5"):
            relative(zero, y, torch.arange(4)[:, None].repeat(1, 2))
    assert torch.isfinite(bilinear.squared_euclidean(zero, y).dense()).all()
    with pytest.raises(SolverError, match="in 1 rows, the first 2"):
        bilinear.squared_euclidean(x, y.index_fill(0, torch.tensor([2]), float("nan")))
    with pytest.raises(SolverError, match="not empty"):
        bilinear.cosine(x, y[:0])
    with pytest.raises(SolverError, match="columns"):
        bilinear.cosine(x, y[:, :5])
    with pytest.raises(SolverError, match="float32 or float64"):
        bilinear.cosine(x, y.float())
    with pytest.raises(SolverError, match="at least 2"):
        bilinear.profile(x, y, torch.zeros(1, 2, dtype=torch.int64))
