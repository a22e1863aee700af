"""Propagation against dense algebra in float64."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from raymm.errors import DataError
from raymm.graph import adjacency
from raymm.graph.propagation import (
    HypergraphOperator,
    SparseOperator,
    last_propagation,
    mean_propagation,
    side_by_side,
)


def _interactions(users: int = 6, items: int = 5, seed: int = 0) -> sparse.csr_array:
    dense = np.random.default_rng(seed).random((users, items)) < 0.4
    dense[0] = True
    dense[-1] = False
    return sparse.csr_array(dense.astype(np.float32))


def _gamma(items: int, clusters: int, seed: int = 0) -> sparse.csr_array:
    dense = np.random.default_rng(seed).dirichlet(np.full(clusters, 0.3), items)
    dense[dense < 0.1] = 0
    return sparse.csr_array(dense / dense.sum(1, keepdims=True))


def _table(rows: int, columns: int, dtype: torch.dtype = torch.float32, seed: int = 0) -> torch.Tensor:
    return torch.randn(rows, columns, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def test_product_equals_dense_for_any_number_of_columns() -> None:
    matrix = _interactions()
    operator = SparseOperator.from_scipy(matrix)
    assert operator.shape == (6, 5)
    assert operator.nnz == matrix.nnz > 5
    for columns in (0, 1, 3, 65):
        x = _table(5, columns)
        torch.testing.assert_close(operator @ x, torch.from_numpy(matrix.toarray()) @ x)
        torch.testing.assert_close(
            operator.T @ _table(6, columns), torch.from_numpy(matrix.T.toarray()) @ _table(6, columns)
        )


def test_gradients_of_a_product_match_finite_differences_to_second_order() -> None:
    operator = SparseOperator.from_scipy(_interactions(), dtype=torch.float64)
    x = _table(5, 3, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(operator.apply, (x,))
    assert torch.autograd.gradgradcheck(lambda y: (operator @ y).pow(3), (x,))


@pytest.mark.parametrize("layers", [0, 1, 3])
def test_propagations_equal_dense_powers_forward_and_backward(layers: int) -> None:
    matrix = adjacency.bipartite(_interactions())
    dense = torch.from_numpy(matrix.toarray()).double()
    operator = SparseOperator.from_scipy(matrix, dtype=torch.float64)
    powers = [torch.linalg.matrix_power(dense, layer) for layer in range(layers + 1)]
    for propagate, expected in ((mean_propagation, sum(powers) / (layers + 1)), (last_propagation, powers[-1])):
        x = _table(11, 4, torch.float64).requires_grad_()
        weights = _table(11, 4, torch.float64, seed=1)
        result = propagate(operator, x, layers)
        torch.testing.assert_close(result, expected @ x)
        (result * weights).sum().backward()
        torch.testing.assert_close(x.grad, expected.T @ weights)


def test_gradcheck_of_the_whole_propagation() -> None:
    operator = SparseOperator.from_scipy(adjacency.bipartite(_interactions()), dtype=torch.float64)
    x = _table(11, 2, torch.float64).requires_grad_()
    assert torch.autograd.gradcheck(lambda y: mean_propagation(operator, y, 2).tanh(), (x,))


def test_columns_do_not_mix_forward_or_backward() -> None:
    operator = SparseOperator.from_scipy(adjacency.bipartite(_interactions(60, 50)))
    x = _table(110, 64).requires_grad_()
    whole = mean_propagation(operator, x, 3)
    whole.pow(2).sum().backward()
    for columns in (slice(0, 32), slice(32, 64), slice(7, 8)):
        part = x.detach()[:, columns].clone().requires_grad_()
        result = mean_propagation(operator, part, 3)
        torch.testing.assert_close(result, whole[:, columns], atol=1e-7, rtol=1e-6)
        result.pow(2).sum().backward()
        torch.testing.assert_close(part.grad, x.grad[:, columns], atol=1e-7, rtol=1e-6)


def test_tables_side_by_side_equal_tables_one_by_one() -> None:
    operator = SparseOperator.from_scipy(adjacency.bipartite(_interactions()))
    tables = [_table(11, columns, seed=columns) for columns in (4, 1, 7)]
    together = side_by_side(lambda x: mean_propagation(operator, x, 2), tables)
    assert len(together) == 3
    for table, result in zip(tables, together, strict=True):
        torch.testing.assert_close(result, mean_propagation(operator, table, 2), atol=1e-7, rtol=1e-6)


def test_symmetric_matrices_share_their_transpose_and_others_do_not() -> None:
    symmetric = SparseOperator.from_scipy(adjacency.bipartite(_interactions(300, 200)))
    assert symmetric.transposed is symmetric.matrix
    assert symmetric.to("cpu").transposed is symmetric.to("cpu").matrix
    directed = SparseOperator.from_scipy(adjacency.row_normalised(_interactions()))
    assert directed.transposed is not directed.matrix
    square = sparse.csr_array(np.array([[0.0, 1.0], [0.5, 0.0]]))
    torch.testing.assert_close(
        SparseOperator.from_scipy(square).transposed.to_dense(), torch.tensor([[0.0, 0.5], [1.0, 0.0]])
    )


def test_autocast_does_not_lower_the_precision_of_product_or_gradient() -> None:
    operator = SparseOperator.from_scipy(adjacency.bipartite(_interactions()))
    x = _table(11, 4).requires_grad_()
    plain = operator @ x
    plain.pow(2).sum().backward()
    expected, x.grad = x.grad, None
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = operator @ x
        result.pow(2).sum().backward()
        narrow = operator @ x.detach().bfloat16()
    assert result.dtype == narrow.dtype == torch.float32
    torch.testing.assert_close(result, plain, atol=0, rtol=0)
    torch.testing.assert_close(x.grad, expected, atol=0, rtol=0)


def test_read_only_unsorted_and_repeated_entries_are_handled() -> None:
    matrix = sparse.csr_array(
        (np.array([1.0, 2.0, 3.0], np.float32), np.array([2, 0, 2]), np.array([0, 3, 3, 3])), shape=(3, 3)
    )
    for array in (matrix.data, matrix.indices, matrix.indptr):
        array.flags.writeable = False
    x = _table(3, 2)
    torch.testing.assert_close((SparseOperator.from_scipy(matrix) @ x)[0], 2 * x[0] + 4 * x[2])
    assert matrix.nnz == 3


def test_hypergraph_equals_the_dense_formula_with_its_gradient() -> None:
    gamma = _gamma(9, 4)
    dense = torch.from_numpy(gamma.toarray())
    vertices, hyperedges = dense.sum(1), dense.sum(0)
    P = torch.diag(vertices**-0.5) @ dense @ torch.diag(1 / hyperedges) @ dense.T @ torch.diag(vertices**-0.5)
    operator = HypergraphOperator.from_scipy(gamma, dtype=torch.float64)
    x = _table(9, 3, torch.float64).requires_grad_()
    torch.testing.assert_close(operator @ x, P @ x)
    torch.testing.assert_close(last_propagation(operator, x, 3), P @ P @ P @ x)
    assert torch.autograd.gradcheck(operator.apply, (x,))


def test_hypergraph_operator_is_symmetric_semi_definite_of_low_rank_and_keeps_constants() -> None:
    operator = HypergraphOperator.from_scipy(_gamma(30, 4), dtype=torch.float64)
    P = operator @ torch.eye(30, dtype=torch.float64)
    torch.testing.assert_close(P, P.T)
    eigenvalues = torch.linalg.eigvalsh(P)
    assert eigenvalues.min() > -1e-12
    assert (eigenvalues > 1e-9).sum() <= 4
    ones = torch.ones(30, 1, dtype=torch.float64)
    torch.testing.assert_close(operator @ ones, ones)
    single = HypergraphOperator.from_scipy(sparse.csr_array(np.ones((30, 1))), dtype=torch.float64)
    x = _table(30, 2, torch.float64)
    torch.testing.assert_close(single @ x, x.mean(0).expand(30, 2))


def test_items_without_hyperedges_and_empty_hyperedges_take_no_part() -> None:
    gamma = sparse.csr_array(np.array([[1.0, 0, 0], [0, 0, 0], [1.0, 0, 0]]))
    result = HypergraphOperator.from_scipy(gamma) @ torch.tensor([[1.0], [5.0], [3.0]])
    torch.testing.assert_close(result, torch.tensor([[2.0], [0.0], [2.0]]))


def test_operators_can_be_copied_and_travel_between_processes() -> None:
    operator = SparseOperator.from_scipy(_interactions())
    x = _table(5, 2)
    for other in (copy.deepcopy(operator), pickle.loads(pickle.dumps(operator))):  # noqa: S301 - our own bytes
        torch.testing.assert_close(other @ x, operator @ x)
        torch.testing.assert_close(other.T @ (other @ x), operator.T @ (operator @ x))


def test_what_does_not_fit_is_refused() -> None:
    operator = SparseOperator.from_scipy(_interactions())
    with pytest.raises(DataError, match=r"\(5, any\)"):
        operator @ torch.zeros(6, 2)
    with pytest.raises(DataError, match=r"\(5, any\)"):
        operator @ torch.zeros(5)
    with pytest.raises(DataError, match="narrower"):
        operator @ torch.zeros(5, 2, dtype=torch.float64)
    with pytest.raises(DataError, match="narrower"):
        operator @ torch.zeros(5, 2, dtype=torch.int32)
    with pytest.raises(DataError, match="0 or more"):
        mean_propagation(operator, torch.zeros(5, 2), -1)
    with pytest.raises(DataError, match="ndarray"):
        SparseOperator.from_scipy(np.eye(3))
    with pytest.raises(DataError, match="finite"):
        SparseOperator.from_scipy(sparse.csr_array(np.array([[np.nan]])))
    with pytest.raises(DataError, match="not negative"):
        HypergraphOperator.from_scipy(sparse.csr_array(np.array([[-1.0]])))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_cuda_device_agrees_with_the_cpu() -> None:
    operator = SparseOperator.from_scipy(adjacency.bipartite(_interactions(300, 200)))
    x = _table(500, 16)
    moved = x.cuda().requires_grad_()
    x.requires_grad_()
    result, expected = mean_propagation(operator.to("cuda"), moved, 3), mean_propagation(operator, x, 3)
    torch.testing.assert_close(result.cpu(), expected)
    result.pow(2).sum().backward()
    expected.pow(2).sum().backward()
    torch.testing.assert_close(moved.grad.cpu(), x.grad)


@pytest.mark.parametrize("columns", [1, 64, 65, 130])
def test_a_mean_of_any_number_of_columns_equals_the_sum_of_products(columns: int) -> None:
    dense = torch.rand(12, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    dense *= dense > 0.6  # not symmetric
    operator = SparseOperator.from_scipy(sparse.csr_array(dense.numpy()), dtype=torch.float64)
    x = _table(12, 2 * columns, torch.float64)[:, ::2].requires_grad_()  # columns that do not lie side by side
    found = mean_propagation(operator, x, 3)
    powers = [torch.linalg.matrix_power(dense, layer) for layer in range(4)]
    expected = torch.stack(powers).mean(0)
    torch.testing.assert_close(found, expected @ x.detach())
    slopes = _table(12, columns, torch.float64, seed=1)
    (gradient,) = torch.autograd.grad(found, x, slopes)
    torch.testing.assert_close(gradient, expected.T @ slopes)
