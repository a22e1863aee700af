"""A domain's training matrix as plain arrays on disk: written in parts, opened without reading."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from scipy import sparse

from raymm.data import layout
from raymm.errors import ArtefactError

BLOCK = 2**20  # entries written at a time


@dataclass(frozen=True)
class GraphLayout:
    """Which arrays there are, and of which type.

    Attributes:
        n_users: Users U.
        n_items: Items I.
        n_train: Training interactions nnz.
        has_ratings: There are ratings.
        has_times: There are times.
    """

    n_users: int
    n_items: int
    n_train: int
    has_ratings: bool
    has_times: bool

    @property
    def index(self) -> np.dtype[Any]:
        """Type of row starts and items: the narrowest that SciPy takes as it is, so that it copies nothing."""
        widest = max(self.n_users, self.n_items, self.n_train)
        return np.dtype(np.int32 if widest <= np.iinfo(np.int32).max else np.int64)

    @property
    def columns(self) -> dict[str, np.dtype[Any]]:
        """Arrays of one entry an interaction, in the order of the matrix, that a part holds."""
        found: dict[str, np.dtype[Any]] = {"items": self.index}
        if self.has_ratings:
            found["ratings"] = np.dtype(np.float32)
        if self.has_times:
            found["times"] = np.dtype(np.int64)
        return found


def write_part(part: Path, train: pa.Table, users: range, shape: GraphLayout) -> None:
    """Write the entries of one shard, in the order of the matrix.

    Args:
        part: Folder to write, `layout.graph_part`.
        train: Training interactions of the shard (`layout.TRAIN`).
        users: The shard's users, those without training interactions too.
        shape: What the whole domain looks like.
    """
    rows, items = train["user"].to_numpy(), train["item"].to_numpy()
    order = np.lexsort((items, rows))  # rows come by user and place in the history, the matrix wants user and item
    part.mkdir(parents=True)
    columns = {"items": "item", "ratings": "rating", "times": "time"}
    for name, kind in shape.columns.items():
        train[columns[name]].to_numpy()[order].astype(kind, copy=False).tofile(part / name)
    np.bincount(rows - users.start, minlength=len(users)).astype(np.int64).tofile(part / "lengths")


def join_parts(folder: Path, domain: str, n_shards: int, shape: GraphLayout) -> None:
    """Join the parts of all shards, in order, to one file an array; memory holds one block at a time."""
    parts = [layout.graph_part(folder, domain, shard) for shard in range(n_shards)]
    for name, kind in shape.columns.items():
        _write_array(layout.graph_file(folder, domain, name), kind, shape.n_train, _blocks(parts, name, kind))
    starts = _row_starts(_blocks(parts, "lengths", np.dtype(np.int64)), shape.index)
    _write_array(layout.graph_file(folder, domain, "starts"), shape.index, shape.n_users + 1, starts)
    ones = np.ones(BLOCK, dtype=np.float32)
    blocks = (ones[: shape.n_train - first] for first in range(0, shape.n_train, BLOCK))
    _write_array(layout.graph_file(folder, domain, "ones"), ones.dtype, shape.n_train, blocks)
    for part in parts:
        shutil.rmtree(part)


def open_graph(
    folder: Path, domain: str, shape: GraphLayout
) -> tuple[sparse.csr_array, np.ndarray | None, np.ndarray | None]:
    """Map a domain's training matrix into memory; nothing is read before it is used, and processes share the pages.

    Returns:
        (U, I) CSR of ones, its arrays views of the files; ratings (nnz,) float32 and times (nnz,) int64 in the order
        of the matrix, or None.

    Raises:
        ArtefactError: A file is missing, damaged, or of another size than the manifest says.
    """

    def mapped(name: str, size: int) -> np.ndarray:
        return _map_array(layout.graph_file(folder, domain, name), size)

    arrays = (mapped("ones", shape.n_train), mapped("items", shape.n_train), mapped("starts", shape.n_users + 1))
    matrix = sparse.csr_array(arrays, shape=(shape.n_users, shape.n_items), copy=False)
    # What the writer saw to; asking would read all of it.
    matrix.has_sorted_indices = True
    matrix.has_canonical_format = True
    ratings = mapped("ratings", shape.n_train) if shape.has_ratings else None
    return matrix, ratings, mapped("times", shape.n_train) if shape.has_times else None


def _blocks(parts: Sequence[Path], name: str, kind: np.dtype[Any]) -> Iterator[np.ndarray]:
    for part in parts:
        with (part / name).open("rb") as stream:
            while len(block := np.fromfile(stream, kind, BLOCK)):
                yield block


def _row_starts(lengths: Iterable[np.ndarray], kind: np.dtype[Any]) -> Iterator[np.ndarray]:
    yield np.zeros(1, dtype=kind)
    last = 0
    for block in lengths:
        ends = last + np.cumsum(block)
        last = int(ends[-1])
        yield ends.astype(kind)


def _write_array(path: Path, kind: np.dtype[Any], size: int, blocks: Iterable[np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as stream:
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (size,)}
        np.lib.format.write_array_header_1_0(stream, header)
        for block in blocks:
            block.tofile(stream)


def _map_array(path: Path, size: int) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError) as error:
        found = "no such file" if isinstance(error, FileNotFoundError) else f"a damaged file ({error})"
        raise ArtefactError(found, "an array", str(path), "prepare the data set anew") from error
    if array.shape != (size,):
        raise ArtefactError(f"an array of shape {array.shape}", f"({size},)", str(path), "prepare the data set anew")
    return array
