"""Ready-made vectors of items, from NumPy and Parquet files, found by item id or by row number."""

from __future__ import annotations

import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raymm.data.ids import id_lines
from raymm.errors import DataError

IDS = ".ids.txt"  # what stands in place of `.npy` in the name of the file of its ids

_NAMED = 5  # ids that a message names


@dataclass(frozen=True, eq=False)
class VectorFile:
    """Vectors as they stand in a file.

    Attributes:
        path: The file.
        ids: (n,) distinct external ids, or None: row numbers are the ids.
        values: (n, F) numbers, mapped into memory where the format allows it; not checked for NaN.
    """

    path: Path
    ids: pa.Array | None
    values: np.ndarray


def read_vectors(path: Path, id_column: str = "id", vector_column: str = "") -> VectorFile:
    """Open a file of vectors; nothing in it is unpickled.

    `X.npy`: (n, F) numbers; ids are the lines of `X.ids.txt` beside it or, without such a file, row numbers from 0.
    `X.npz`: an array `vectors`, and `ids` or, without it, row numbers. `X.parquet`: a column of ids and one of lists.

    Args:
        path: The file.
        id_column: Parquet: column of ids, strings or whole numbers.
        vector_column: Parquet: column of lists of numbers; empty: the only column beside the ids.

    Raises:
        DataError: The file is not of its format, holds no vectors, lists of several lengths, or an id twice or empty.
    """
    readers = {".npy": _read_npy, ".npz": _read_npz}
    if path.suffix in readers:
        ids, values = readers[path.suffix](path)
    elif path.suffix == ".parquet":
        ids, values = _read_parquet(path, id_column, vector_column)
    else:
        raise DataError(f"a file {path.suffix or 'without an ending'!r}", ".npy, .npz or .parquet", str(path))
    if values.ndim != 2 or not values.size or values.dtype.kind not in "fiu":
        raise DataError(f"an array {values.shape} of {values.dtype}", "(items, columns) of numbers", str(path))
    if ids is not None:
        _check_ids(ids, len(values), path)
    return VectorFile(path, ids, values)


def ids_beside(path: Path) -> Path | None:
    """Return the file of ids that belongs to a `.npy` file, where there is one."""
    beside = path.with_suffix(IDS)
    return beside if path.suffix == ".npy" and beside.is_file() else None


def find_rows(file: VectorFile, item_ids: pa.Array) -> tuple[np.ndarray, int]:
    """Find the row of each item.

    Args:
        file: The vectors.
        item_ids: (I,) external ids.

    Returns:
        (I,) int64 rows, -1 where the file has no vector of the item, and how many rows belong to no item.

    Raises:
        DataError: Rows go by their number, and an id is no number of a row.
    """
    n_rows = len(file.values)
    if file.ids is not None:
        rows = pc.index_in(item_ids, value_set=file.ids).fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return rows, n_rows - int((rows >= 0).sum())
    numbers = [int(name) if name.isascii() and name.isdigit() else -1 for name in item_ids.to_pylist()]
    wrong = [
        name
        for name, number in zip(item_ids.to_pylist(), numbers, strict=True)
        if not 0 <= number < n_rows or str(number) != name
    ]
    if wrong:
        raise DataError(
            f"{len(wrong)} item ids that are no row number: {wrong[:_NAMED]}",
            f"ids 0 to {n_rows - 1}: the file has no ids, so that its rows go by their number",
            str(file.path),
            f"give ids: `ids` in an .npz, or one a line in {file.path.with_suffix('.ids.txt').name} beside an .npy",
        )
    return np.array(numbers, dtype=np.int64), n_rows - len(numbers)


def _read_npy(path: Path) -> tuple[pa.Array | None, np.ndarray]:
    try:
        values = np.lib.format.open_memmap(path, mode="r")  # which takes arrays of plain numbers and nothing else
    except (OSError, ValueError, EOFError) as error:
        raise _unreadable(path, error, "an .npy file of numbers, without pickled objects") from error
    beside = ids_beside(path)
    if beside is None:
        return None, values
    try:
        return pa.array(id_lines(beside.read_bytes().decode()), pa.string()), values
    except UnicodeDecodeError as error:
        raise _unreadable(beside, error, "one id a line in UTF-8") from error


def _read_npz(path: Path) -> tuple[pa.Array | None, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile) or "vectors" not in archive.files:
                found = getattr(archive, "files", "one array")
                raise DataError(f"arrays {found}", "an array `vectors`, and `ids`", str(path), "write it by np.savez")
            values = archive["vectors"]
            names = archive["ids"] if "ids" in archive.files else None
    except (OSError, ValueError, EOFError, MemoryError, zipfile.BadZipFile, zlib.error) as error:
        raise _unreadable(path, error, "an .npz file of numbers, without pickled objects") from error
    if names is None:
        return None, values
    if names.ndim != 1 or names.dtype.kind not in "Uiu":
        raise DataError(f"ids {names.shape} of {names.dtype}", "(n,) strings or whole numbers", str(path))
    return pa.array([str(name) for name in names.tolist()], pa.string()), values


def _read_parquet(path: Path, id_column: str, vector_column: str) -> tuple[pa.Array, np.ndarray]:
    try:
        schema = pq.read_schema(path)
        others = [name for name in schema.names if name != id_column]
        column = vector_column or (others[0] if len(others) == 1 else "")
        if schema.names.count(id_column) != 1 or schema.names.count(column) != 1:
            raise DataError(
                f"columns {schema.names[:12]}",
                f"one column {id_column!r} of ids, and {repr(column) if column else 'one other column'} of lists",
                str(path),
                "name them by `id_column` and `vector_column` of this modality",
            )
        table = pq.read_table(path, columns=[id_column, column], memory_map=True)
    except (OSError, pa.ArrowException) as error:
        raise _unreadable(path, error, "a Parquet file") from error
    ids, lists = table[id_column], table[column]
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type) or pa.types.is_integer(ids.type)):
        raise DataError(f"ids of type {ids.type}", "strings or whole numbers", f"{path}, column {id_column!r}")
    names = _one_array(ids.cast(pa.string()).fill_null(""))
    return names, _from_lists(_one_array(lists), names, f"{path}, column {column!r}")


def _from_lists(lists: pa.Array, ids: pa.Array, where: str) -> np.ndarray:
    kind = lists.type
    is_list = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    if not is_list or not (pa.types.is_floating(kind.value_type) or pa.types.is_integer(kind.value_type)):
        raise DataError(f"a column of {kind}", "lists of numbers", where, "name the column by `vector_column`")
    lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
    width = int(np.bincount(lengths).argmax()) if len(lengths) else 0
    odd = lengths != width
    if odd.any():
        named = ids.filter(pa.array(odd)).to_pylist()[:_NAMED]
        raise DataError(f"{int(odd.sum())} lists of another length, or none: {named}", f"{width} numbers each", where)
    numbers = pc.list_flatten(lists)
    if numbers.null_count:
        numbers = numbers.cast(pa.float64())  # what is missing becomes NaN, which is refused where it is used
    flat: np.ndarray = numbers.to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), width)


def _check_ids(ids: pa.Array, n_rows: int, path: Path) -> None:
    if len(ids) != n_rows:
        raise DataError(f"{len(ids)} ids", f"{n_rows}, as there are vectors", str(path), "give each vector one id")
    blank = pc.sum(pc.equal(pc.utf8_trim_whitespace(ids), "")).as_py()
    if blank:
        raise DataError(f"{blank} empty ids", "an id for each vector", str(path), "name or drop these vectors")
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1)).to_pylist()
    if repeated:
        found = f"{len(repeated)} ids more than once: {repeated[:_NAMED]}"
        raise DataError(found, "each id once", str(path), "keep the vector that is right")


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    joined = column.combine_chunks()
    return pa.concat_arrays(joined.chunks) if isinstance(joined, pa.ChunkedArray) else joined


def _unreadable(path: Path, error: Exception, expected: str) -> DataError:
    words = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"not readable: {words}", expected, str(path), "write the file again")
