"""Sparse products with an own backward pass, and the propagations built on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
import torch
from scipy import sparse

from raymm.errors import DataError

_COLUMNS_AT_ONCE = 64  # columns that are propagated together: a table of them fits the processor's cache


class Operator(Protocol):
    """A linear map over nodes that treats each column of what it is applied to on its own."""

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the map as a matrix."""
        ...

    def __matmul__(self, x: torch.Tensor) -> torch.Tensor:
        """Apply the map to x (columns of the map, D)."""
        ...


@dataclass(frozen=True, eq=False)
class SparseOperator:
    """A constant sparse matrix with its transpose beside it, so that the backward pass is as fast as the forward one.

    Products run in the matrix's precision whatever autocast says: there is no bfloat16 kernel for CSR on the CPU, and
    sums over neighbours lose accuracy in it. Narrower input is widened; wider input is refused, not rounded.

    Attributes:
        matrix: (R, C) torch CSR.
        transposed: (C, R) torch CSR; the same tensor where the matrix is symmetric.
    """

    matrix: torch.Tensor
    transposed: torch.Tensor

    @classmethod
    def from_scipy(
        cls,
        matrix: sparse.csr_array,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> SparseOperator:
        """Copy a scipy matrix to torch; the input may be read-only and is not kept.

        Args:
            matrix: (R, C), any sparse format.
            device: Where the products shall run; None for the CPU.
            dtype: float32, or float64 for checks of gradients.

        Raises:
            DataError: The matrix is not a scipy sparse matrix, or holds a value that is not finite.
        """
        if not sparse.issparse(matrix) or matrix.ndim != 2:
            raise DataError(f"{type(matrix).__name__}", "a scipy sparse matrix of two dimensions", "sparse operator")
        rows = sparse.csr_array(matrix, copy=True)
        rows.sum_duplicates()
        if not np.isfinite(rows.data).all():
            raise DataError("values that are not finite", "finite values", "sparse operator")
        forward = _torch_csr(rows, device, dtype)
        columns = rows.T.tocsr()
        symmetric = rows.shape[0] == rows.shape[1] and (rows != columns).nnz == 0
        return cls(forward, forward if symmetric else _torch_csr(columns, device, dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """Rows R and columns C."""
        return (self.matrix.shape[0], self.matrix.shape[1])

    @property
    def nnz(self) -> int:
        """Number of stored entries."""
        return int(self.matrix.values().numel())

    @property
    def T(self) -> SparseOperator:  # noqa: N802 - the name that numpy, scipy and torch use
        """The transposed operator; nothing is copied."""
        return SparseOperator(self.transposed, self.matrix)

    def to(self, device: torch.device | str) -> SparseOperator:
        """Copy the operator to `device`."""
        matrix = self.matrix.to(device)
        return SparseOperator(matrix, matrix if self.transposed is self.matrix else self.transposed.to(device))

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply with x; the gradient reaches x only.

        Args:
            x: (C, D) with any number of columns D, of the matrix's precision or a narrower one.

        Returns:
            (R, D) in the matrix's precision.

        Raises:
            DataError: x does not fit, or is of a wider precision than the matrix.
        """
        self._check_fit(x)
        with torch.autocast(x.device.type, enabled=False):
            return cast(torch.Tensor, _Product.apply(x.to(self.matrix.dtype), self))  # type: ignore[no-untyped-call]

    def apply_mean(self, x: torch.Tensor, layers: int) -> torch.Tensor:
        """Average x (N, D) and its products with the matrix's powers 1 to `layers`; see `mean_propagation`.

        Raises:
            DataError: x does not fit, or is of a wider precision than the matrix.
        """
        self._check_fit(x)
        with torch.autocast(x.device.type, enabled=False):
            mean = _MeanOfPowers.apply(x.to(self.matrix.dtype), self, layers)  # type: ignore[no-untyped-call]
        return cast(torch.Tensor, mean)

    def _check_fit(self, x: torch.Tensor) -> None:
        if x.ndim != 2 or x.shape[0] != self.shape[1]:
            raise DataError(f"a table of shape {tuple(x.shape)}", f"({self.shape[1]}, any)", "sparse product")
        if not x.is_floating_point() or x.dtype.itemsize > self.matrix.dtype.itemsize:
            raise DataError(f"a table of {x.dtype}", f"{self.matrix.dtype} or narrower", "sparse product")

    def __matmul__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply with x; see `apply`."""
        return self.apply(x)

    def __deepcopy__(self, memo: dict[int, Any]) -> SparseOperator:
        """Return itself: it never changes, and torch cannot copy the storage of CSR tensors."""
        return self


@dataclass(frozen=True, eq=False)
class HypergraphOperator:
    """Hypergraph convolution `P = Dv^-1/2 gamma De^-1 gamma^T Dv^-1/2` as two thin products; P is never formed.

    Source: HGNN (arXiv 1809.09401), eq. 10, with unit hyperedge weights and no dense weight. P = L L^T with
    L = Dv^-1/2 gamma De^-1/2, hence symmetric, positive semi-definite and of rank K at most; where the rows of gamma
    sum to one it keeps constants.

    Attributes:
        thin: L, (I, K).
    """

    thin: SparseOperator

    @classmethod
    def from_scipy(
        cls,
        gamma: sparse.csr_array,
        device: torch.device | str | None = None,
        dtype: torch.dtype = torch.float32,
    ) -> HypergraphOperator:
        """Build it from the incidence of items in hyperedges.

        Args:
            gamma: (I, K) non-negative; an item without hyperedges, or an empty hyperedge, takes no part.
            device: Where the products shall run; None for the CPU.
            dtype: float32, or float64 for checks of gradients.

        Raises:
            DataError: gamma is not sparse, or has a negative or non-finite entry.
        """
        if not sparse.issparse(gamma) or gamma.ndim != 2:
            raise DataError(f"{type(gamma).__name__}", "a scipy sparse matrix of two dimensions", "hypergraph")
        rows = sparse.csr_array(gamma, dtype=np.float64, copy=True)
        rows.sum_duplicates()
        if rows.nnz and not (np.isfinite(rows.data).all() and rows.data.min() >= 0):
            raise DataError("negative or non-finite memberships", "finite ones, not negative", "hypergraph")
        rows.eliminate_zeros()
        vertices, hyperedges = (np.asarray(rows.sum(axis=axis)).ravel() for axis in (1, 0))
        # Each stored entry is positive, so the sums that it meets are too: no division by zero.
        degrees = np.repeat(vertices, np.diff(rows.indptr)) * hyperedges[rows.indices]
        thin = sparse.csr_array((rows.data / np.sqrt(degrees), rows.indices, rows.indptr), shape=rows.shape)
        return cls(SparseOperator.from_scipy(thin, device, dtype))

    @property
    def shape(self) -> tuple[int, int]:
        """Items on both sides."""
        return (self.thin.shape[0], self.thin.shape[0])

    def to(self, device: torch.device | str) -> HypergraphOperator:
        """Copy the operator to `device`."""
        return HypergraphOperator(self.thin.to(device))

    def apply(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply with x (I, D): first to the hyperedges (K, D), then back to the items (I, D)."""
        return self.thin @ (self.thin.T @ x)

    def __matmul__(self, x: torch.Tensor) -> torch.Tensor:
        """Multiply with x; see `apply`."""
        return self.apply(x)


def mean_propagation(operator: Operator, x: torch.Tensor, layers: int) -> torch.Tensor:
    """Average x and its propagations through 1 to `layers` layers.

    Source: LightGCN (arXiv 2002.02126), eqs. 4 and 8, with equal layer weights 1 / (layers + 1).

    With a sparse operator it is taken as `(x + A (x + A (x + ...))) / (layers + 1)`, where each product adds to a copy
    of x in place, a few columns at a time, which fit the processor's cache; and back likewise with the transpose.

    Args:
        operator: (N, N).
        x: (N, D).
        layers: Number of layers L >= 0; 0 returns x.

    Returns:
        (N, D). Columns do not mix: a slice of the columns propagates to the same slice of the result.
    """
    _check_layers(layers)
    if isinstance(operator, SparseOperator):
        return operator.apply_mean(x, layers)
    current, total = x, x
    for _ in range(layers):
        current = operator @ current
        total = total + current
    return total / (layers + 1)


def last_propagation(operator: Operator, x: torch.Tensor, layers: int) -> torch.Tensor:
    """Propagate x (N, D) through `layers` layers and return the last one alone, `operator^layers x`."""
    _check_layers(layers)
    for _ in range(layers):
        x = operator @ x
    return x


def side_by_side(
    propagate: Callable[[torch.Tensor], torch.Tensor], tables: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    """Send several tables over one graph in one product, which is faster than one product each.

    Args:
        propagate: A map that treats columns on their own, such as one of the propagations with its graph bound.
        tables: At least one (N, D_t); the widths may differ.

    Returns:
        The propagated tables, in order and of the same widths.
    """
    propagated = propagate(torch.cat(tuple(tables), dim=1))
    return torch.split(propagated, [table.shape[1] for table in tables], dim=1)


class _Product(torch.autograd.Function):
    """`matrix @ x`, whose gradient with respect to x is `transposed @ gradient`; differentiable twice."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, operator: SparseOperator) -> torch.Tensor:
        ctx.operator = operator
        return operator.matrix @ x.contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        return ctx.operator.T.apply(gradients[0]), None


class _MeanOfPowers(torch.autograd.Function):
    """`mean over l = 0..layers of matrix^l x`, whose gradient is the same mean of the transpose's powers."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, operator: SparseOperator, layers: int) -> torch.Tensor:
        ctx.operator, ctx.layers = operator, layers
        result = torch.empty_like(x, memory_format=torch.contiguous_format)
        for start in range(0, x.shape[1], _COLUMNS_AT_ONCE):
            columns = slice(start, start + _COLUMNS_AT_ONCE)
            table = x[:, columns].contiguous()
            current = table
            for _ in range(layers):
                total = table.clone()
                torch.addmm(total, operator.matrix, current, out=total)
                current = total
            torch.div(current, layers + 1, out=result[:, columns])
        return result

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.operator.T.apply_mean(gradients[0], ctx.layers), None, None


def _check_layers(layers: int) -> None:
    if layers < 0:
        raise DataError(f"{layers} layers", "0 or more", "propagation")


def _torch_csr(matrix: sparse.csr_array, device: torch.device | str | None, dtype: torch.dtype) -> torch.Tensor:
    index = np.int32 if max(*matrix.shape, matrix.nnz) < 2**31 else np.int64  # half the memory where it fits
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta", category=UserWarning)
        return torch.sparse_csr_tensor(
            torch.from_numpy(matrix.indptr.astype(index)),
            torch.from_numpy(matrix.indices.astype(index)),
            torch.from_numpy(matrix.data.astype(np.float64)).to(dtype),
            size=matrix.shape,
            dtype=dtype,
            device=device,
            check_invariants=True,
        )
