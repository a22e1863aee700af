"""What scorers are made of: sums in float64, rounded once, and the checks of their arrays."""

from __future__ import annotations

from collections.abc import Callable

import torch

from raymm.errors import DataError

AT_ONCE = 1 << 17
"""Entries of a sparse product that are multiplied at a time: the copies stay in the processor's cache."""

_ITEM_CHUNK = 2048  # items converted to float64 at a time, for the same reason


Csr = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Row starts (R + 1,) int64, columns (N,) int64 and values (N,) float32 of a sparse matrix."""


def products(rows: torch.Tensor, items: torch.Tensor, kind: torch.dtype = torch.float64) -> torch.Tensor:
    """Multiply float64 rows (B, D) by items (I, D), in float64; kept as `kind`: (B, I)."""
    result = torch.empty(len(rows), len(items), dtype=kind, device=rows.device)
    for start in range(0, len(items), _ITEM_CHUNK):
        chunk = items[start : start + _ITEM_CHUNK].double()
        result[:, start : start + len(chunk)] = rows @ chunk.T
    return result


def voted(histories: Csr, weights: Csr, users: torch.Tensor, sums: torch.Tensor) -> torch.Tensor:
    """Add what histories (U, V) times weights (V, I) gives `users` (B,) to `sums` (B, I) float64; as float32."""
    (history_starts, voters, counts), (starts, items, votes) = histories, weights
    rows, entries = _entries(history_starts, users)
    voting, values = voters[entries], counts[entries].double()
    work = (starts[voting + 1] - starts[voting]).cumsum(0)
    _, lengths = (work // AT_ONCE).unique_consecutive(return_counts=True)
    for part in torch.arange(len(voting), device=users.device).split(lengths.tolist()):
        owners, links = _entries(starts, voting[part])
        places = rows[part][owners] * sums.shape[1] + items[links]
        sums.view(-1).index_add_(0, places, values[part][owners] * votes[links].double())
    return sums.float()


def read_from_rows(
    scores: Callable[[torch.Tensor], torch.Tensor], n_items: int, users: torch.Tensor, items: torch.Tensor
) -> torch.Tensor:
    """Score pairs (B,) by whole rows `scores(users)` of `n_items`, a block of users at a time."""
    items = known_ids("items", items, n_items, items.device)
    different, position = torch.unique(users.to(items.device), return_inverse=True)
    block = max(1, (1 << 24) // n_items)
    result = torch.empty(len(users), dtype=torch.float32, device=items.device)
    for start in range(0, len(different), block):
        rows = scores(different[start : start + block]).to(items.device)
        inside = (position >= start) & (position < start + block)
        result[inside] = rows[position[inside] - start, items[inside]]
    return result


def check_array(name: str, array: torch.Tensor, dtype: torch.dtype, dimensions: int) -> None:
    """Refuse an empty array, or one of another type or number of dimensions."""
    if array.dtype != dtype or array.ndim != dimensions or not len(array):
        raise DataError(
            f"{name} of shape {tuple(array.shape)}, {array.dtype}", f"{dimensions} dimensions, {dtype}, not empty"
        )


def check_csr(name: str, starts: torch.Tensor, columns: torch.Tensor, values: torch.Tensor, n_columns: int) -> None:
    """Refuse what is no CSR matrix of int64 and float32 with `n_columns` columns."""
    check_array(f"{name}_starts", starts, torch.int64, 1)
    steps = starts.diff()
    matching = columns.shape == values.shape == (int(starts[-1]),)
    typed = columns.dtype == torch.int64 and values.dtype == torch.float32
    if len(starts) < 2 or int(starts[0]) or bool((steps < 0).any()) or not matching or not typed:
        raise DataError(f"{name} arrays that are no CSR matrix", "int64 starts and columns, float32 values")
    if len(columns) and (int(columns.min()) < 0 or int(columns.max()) >= n_columns):
        raise DataError(f"a column of {name} out of range", f"0 to {n_columns - 1}")


def known_ids(name: str, ids: torch.Tensor, count: int, device: torch.device) -> torch.Tensor:
    """Return `ids` on `device`; an id out of range is an error, where indexing would wrap a negative one around."""
    if len(ids) and (int(ids.min()) < 0 or int(ids.max()) >= count):
        raise DataError(
            f"{name} from {int(ids.min())} to {int(ids.max())}", f"0 to {count - 1}", "a request for scores"
        )
    return ids.to(device)


def _entries(starts: torch.Tensor, rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return, for each stored entry of the CSR rows `rows`: its position in `rows`, and its place in the arrays."""
    lengths = starts[rows + 1] - starts[rows]
    owners = torch.repeat_interleave(torch.arange(len(rows), device=rows.device), lengths)
    before = torch.cumsum(lengths, 0) - lengths
    places = torch.arange(len(owners), device=rows.device) - before[owners] + starts[rows][owners]
    return owners, places
