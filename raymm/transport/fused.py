"""The two sums of a Sinkhorn pass on a GPU, with scores that never leave the chip: Triton kernels for float32 blocks.

A pass needs the sum of exp(S) over columns, and then, weighted by what that gives, over rows. Written as products and
exponentials of whole blocks it is bound by the memory that the block goes through four times; here each tile of S is
computed where it is summed, twice in all, and only vectors are written.
"""

from __future__ import annotations

from typing import Any

import torch
import triton
import triton.language as tl

_ROWS, _COLUMNS = tl.constexpr(64), tl.constexpr(128)  # a tile of scores
_DEPTH = tl.constexpr(32)  # coordinates multiplied at a time; with two stages 56 KiB of shared memory at the most
_WAVES = 4  # programs a multiprocessor, so that short sides are cut into parts until all have work
_INTERPRETED = 6  # programs without a GPU, where Triton's interpreter runs them one after the other


def row_logs(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
    """Return log sum_j exp(S[i, j]) with S = left @ right.T.

    Args:
        left: (n, k) float32; its last but one column is 1.
        right: (m, k) float32; its last column is 1. All but two coordinates are multiplied at the precision of
            float32 (three products of TF32 where the GPU has them), the two offsets are added.

    Returns:
        (n,) float64; tiles are summed in float32, sums of tiles in float64.
    """
    n, m = len(left), len(right)
    parts, span = _parts((n, _ROWS.value), (m, _COLUMNS.value), left.device)
    logs = left.new_empty(parts, n, dtype=torch.float64)
    _launch(_sum_columns, (-(-n // _ROWS.value), parts), (left, right), left[:, -1], logs, span)
    return torch.logsumexp(logs, dim=0)


def column_sums(left: torch.Tensor, right: torch.Tensor, log_weights: torch.Tensor) -> torch.Tensor:
    """Return sum_i exp(log_weights[i] + S[i, j]) with S as in `row_logs`.

    Args:
        left: (n, k) float32.
        right: (m, k) float32.
        log_weights: (n,) float64, such that no summand is above the largest float32; -inf leaves a row out.

    Returns:
        (m,) float64.
    """
    n, m = len(left), len(right)
    parts, span = _parts((m, _COLUMNS.value), (n, _ROWS.value), left.device)
    sums = left.new_empty(parts, m, dtype=torch.float64)
    offsets = (left[:, -1].double() + log_weights).to(left.dtype)
    _launch(_sum_rows, (-(-m // _COLUMNS.value), parts), (left, right), offsets, sums, span)
    return sums.sum(dim=0)


def _launch(
    kernel: Any,
    grid: tuple[int, int],
    sides: tuple[torch.Tensor, torch.Tensor],
    row_offsets: torch.Tensor,
    out: torch.Tensor,
    span: int,
) -> None:
    left, right = sides
    sizes = torch.tensor([len(left), len(right), span], device=left.device)
    # Without their last two columns rows begin where a GPU likes to load from.
    points = left[:, :-2].contiguous(), right[:, :-2].contiguous()
    with torch.cuda.device_of(left):
        kernel[grid](
            *points,
            row_offsets.contiguous(),
            right[:, -2].contiguous(),
            out,
            sizes,
            WIDTH=left.shape[1] - 2,
            num_stages=2,
        )


def _parts(kept: tuple[int, int], summed: tuple[int, int], device: torch.device) -> tuple[int, int]:
    """Return into how many parts the summed side is cut, and the length of one; both sides as (length, tile)."""
    cuda = device.type == "cuda"
    wanted = _WAVES * torch.cuda.get_device_properties(device).multi_processor_count if cuda else _INTERPRETED
    steps = -(-summed[0] // summed[1])
    each = -(-steps // max(1, min(steps, wanted // -(-kept[0] // kept[1]))))
    return -(-steps // each), each * summed[1]


@triton.jit  # type: ignore[untyped-decorator]
def _scores(
    left: tl.tensor,
    right: tl.tensor,
    rows: tl.tensor,
    columns: tl.tensor,
    n: tl.tensor,
    m: tl.tensor,
    WIDTH: tl.constexpr,
) -> tl.tensor:  # noqa: N803
    """Return the tile of inner products of some rows and columns."""
    tile = tl.zeros((_ROWS, _COLUMNS), tl.float32)
    for first in range(0, WIDTH, _DEPTH):
        depth = first + tl.arange(0, _DEPTH)
        inside = (depth < WIDTH)[None, :]
        x = tl.load(left + rows[:, None] * WIDTH + depth[None, :], mask=(rows < n)[:, None] & inside, other=0.0)
        y = tl.load(right + columns[:, None] * WIDTH + depth[None, :], mask=(columns < m)[:, None] & inside, other=0.0)
        tile = tl.dot(x, tl.trans(y), tile, input_precision="tf32x3")
    return tile


@triton.jit  # type: ignore[untyped-decorator]
def _sum_columns(
    left: tl.tensor,
    right: tl.tensor,
    row_offsets: tl.tensor,
    column_offsets: tl.tensor,
    logs: tl.tensor,
    sizes: tl.tensor,
    WIDTH: tl.constexpr,  # noqa: N803
) -> None:
    """Sum exp(S) over a part of the columns, with a running maximum, for a block of rows; store the logarithm."""
    n, m, span = tl.load(sizes), tl.load(sizes + 1), tl.load(sizes + 2)
    part = tl.program_id(1).to(tl.int64)
    rows = tl.program_id(0).to(tl.int64) * _ROWS + tl.arange(0, _ROWS)
    offsets = tl.load(row_offsets + rows, mask=rows < n, other=0.0)
    top = tl.full((_ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((_ROWS,), tl.float64)
    stop = tl.minimum(m, (part + 1) * span)
    for start in range(part * span, stop, _COLUMNS):
        columns = start + tl.arange(0, _COLUMNS)
        shifts = tl.load(column_offsets + columns, mask=columns < stop, other=float("-inf"))
        tile = _scores(left, right, rows, columns, n, stop, WIDTH) + offsets[:, None] + shifts[None, :]
        highest = tl.maximum(top, tl.max(tile, axis=1))
        kernel = tl.exp(tile - highest[:, None])
        total = total * tl.exp(top - highest).to(tl.float64) + tl.sum(kernel, axis=1).to(tl.float64)
        top = highest
    tl.store(logs + part * n + rows, top.to(tl.float64) + tl.log(total), mask=rows < n)


@triton.jit  # type: ignore[untyped-decorator]
def _sum_rows(
    left: tl.tensor,
    right: tl.tensor,
    row_offsets: tl.tensor,
    column_offsets: tl.tensor,
    sums: tl.tensor,
    sizes: tl.tensor,
    WIDTH: tl.constexpr,  # noqa: N803
) -> None:
    """Sum exp(S) over a part of the rows for a block of columns."""
    n, m, span = tl.load(sizes), tl.load(sizes + 1), tl.load(sizes + 2)
    part = tl.program_id(1).to(tl.int64)
    columns = tl.program_id(0).to(tl.int64) * _COLUMNS + tl.arange(0, _COLUMNS)
    shifts = tl.load(column_offsets + columns, mask=columns < m, other=float("-inf"))
    total = tl.zeros((_COLUMNS,), tl.float64)
    stop = tl.minimum(n, (part + 1) * span)
    for start in range(part * span, stop, _ROWS):
        rows = start + tl.arange(0, _ROWS)
        offsets = tl.load(row_offsets + rows, mask=rows < stop, other=float("-inf"))
        tile = _scores(left, right, rows, columns, stop, m, WIDTH) + offsets[:, None] + shifts[None, :]
        total += tl.sum(tl.exp(tile), axis=0).to(tl.float64)
    tl.store(sums + part * m + columns, total, mask=columns < m)
