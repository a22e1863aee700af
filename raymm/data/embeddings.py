"""Embeddings of users with their ids, and pairs of users who are the same person, from files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raymm.artefacts import fingerprint, hash_file
from raymm.data.ids import id_lines
from raymm.errors import DataError

PAIR_COLUMNS = ("source_id", "target_id")

_NAMED = 3  # offenders that a message names


@dataclass(frozen=True, eq=False)
class Embeddings:
    """One population.

    Attributes:
        ids: (n,) distinct strings.
        vectors: (n, d) float32, finite, none of them zero.
        fingerprint: Hash of the files' bytes.
    """

    ids: pa.Array
    vectors: np.ndarray
    fingerprint: str


def read_embeddings(path: Path, id_column: str = "id") -> Embeddings:
    """Read the embeddings of a population.

    Parquet (a file, or a folder of files that are read in the order of their names): `id_column` holds strings or
    whole numbers; beside it stands either one column of lists of numbers, or columns of numbers, one a dimension, in
    the order of the file. `X.npy`: (users, dimensions); ids are the lines of `X.ids.txt` beside it or, without such a
    file, the row numbers from 0.

    Args:
        path: Ends in `.npy`, or is Parquet.
        id_column: Name of the column of ids, for Parquet.

    Raises:
        DataError: No such file, one of another format, a missing or superfluous column, nobody in it, repeated or
            missing ids, lists of unequal length, or vectors that are zero or not finite in float32.
    """
    if path.suffix == ".npy":
        ids, vectors, mark = _read_npy(path)
    else:
        table, mark = _read_parquet(path)
        ids, vectors = _ids(_column(table, id_column, path), f"{path}, column {id_column!r}"), None
        if len(ids):
            vectors = _vectors(table.drop_columns([id_column]), ids, path)
    if vectors is None or not vectors.size:
        raise DataError("nobody", "at least one user with a vector", str(path), "check how the file was written")
    _check_ids(ids, str(path))
    with np.errstate(over="ignore"):
        vectors = np.ascontiguousarray(vectors, dtype=np.float32)
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    _refuse(~finite, ids, "NaN, infinity or a missing number", "finite float32", path)
    _refuse(~np.asarray(vectors.any(axis=1)), ids, "a zero vector", "vectors with a direction", path)
    return Embeddings(ids, vectors, mark)


def read_pairs(path: Path, source: Embeddings, target: Embeddings) -> tuple[np.ndarray, str]:
    """Read who of the source is who of the target: Parquet with the columns `source_id` and `target_id`.

    Args:
        path: A file, or a folder of files.
        source: The source side.
        target: The target side.

    Returns:
        (q, 2) int64 rows of source and target, and a hash of the files' bytes.

    Raises:
        DataError: No such file, a missing column, an id that has no embedding, or a user in two pairs.
    """
    table, mark = _read_parquet(path)
    sides = []
    for name, side in zip(PAIR_COLUMNS, (source, target), strict=True):
        ids = _ids(_column(table, name, path), f"{path}, column {name!r}")
        rows = pc.index_in(ids, value_set=side.ids)
        if rows.null_count:
            unknown = ids.filter(pc.is_null(rows))
            raise DataError(
                f"{len(unknown)} ids without an embedding: {_some(unknown)}",
                f"ids of the {name.removesuffix('_id')} embeddings",
                f"{path}, column {name!r}",
                "drop these pairs, or give the embeddings of these users",
            )
        _refuse_repeats(ids, "in more than one pair", "each user in one pair", f"{path}, column {name!r}")
        sides.append(rows.to_numpy(zero_copy_only=False).astype(np.int64))
    return np.column_stack(sides), mark


def _read_parquet(path: Path) -> tuple[pa.Table, str]:
    if not path.exists():
        raise DataError("no such file", "a Parquet file or folder, or a .npy file", str(path), "check the path")
    files = sorted(path.rglob("*.parquet")) if path.is_dir() else [path]
    if not files:
        raise DataError("no *.parquet in this folder", "Parquet files", str(path), "check the path")
    parts = []
    for file in files:
        try:
            parts.append(pq.ParquetFile(file).read())
        except (OSError, pa.ArrowException) as error:
            words = str(error).splitlines()[0]
            raise DataError(f"not Parquet: {words}", "a Parquet file", str(file), "write it again") from error
        if parts[-1].schema.names != parts[0].schema.names:
            raise DataError(
                f"columns {_list(parts[-1].schema.names)}", f"{_list(parts[0].schema.names)}, as before", str(file)
            )
    names = parts[0].schema.names
    if len(set(names)) < len(names):
        raise DataError(f"columns {_list(names)}", "each name once", str(path), "rename the columns")
    try:
        table = pa.concat_tables(parts, promote_options="permissive")
    except pa.ArrowException as error:
        words = f"columns of unlike types: {str(error).splitlines()[0]}"
        raise DataError(words, "one type a column", str(path), "write the files alike") from error
    return table, fingerprint([(str(file.relative_to(path)), hash_file(file)) for file in files])


def _read_npy(path: Path) -> tuple[pa.Array, np.ndarray, str]:
    if not path.is_file():
        raise DataError("no such file", "a .npy file", str(path), "check the path")
    try:
        with path.open("rb") as stream:
            vectors = np.lib.format.read_array(stream, allow_pickle=False)
    except (OSError, ValueError, EOFError, MemoryError) as error:
        raise DataError(f"not readable: {error}", "a .npy file of numbers", str(path), "write it by np.save") from error
    if vectors.ndim != 2 or vectors.dtype.kind not in "fiu":
        raise DataError(
            f"an array {vectors.shape} of {vectors.dtype}", "(users, dimensions) of numbers", str(path), "reshape it"
        )
    beside = path.with_suffix(".ids.txt")
    if not beside.is_file():
        return pa.array([str(row) for row in range(len(vectors))], pa.string()), vectors, hash_file(path)
    try:
        lines = id_lines(beside.read_bytes().decode())
    except UnicodeDecodeError as error:
        raise DataError(f"not UTF-8: {error}", "one id a line", str(beside), "write it as UTF-8") from error
    if len(lines) != len(vectors):
        raise DataError(f"{len(lines)} ids", f"{len(vectors)}, as {path.name} has rows", str(beside), "one id a line")
    return pa.array(lines, pa.string()), vectors, fingerprint(hash_file(path), hash_file(beside))


def _column(table: pa.Table, name: str, path: Path) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise DataError(
            f"columns {_list(table.column_names)}",
            f"a column {name!r}",
            str(path),
            "rename a column" if name in PAIR_COLUMNS else "name the column of ids with --id-column",
        )
    return table[name]


def _ids(column: pa.ChunkedArray, where: str) -> pa.Array:
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_integer(kind)):
        raise DataError(f"ids of type {column.type}", "strings or whole numbers", where, "convert the column")
    if column.null_count:
        raise DataError(f"{column.null_count} missing ids", "an id in each row", where, "drop these rows")
    ids = column.cast(kind).cast(pa.string()).combine_chunks()
    return pa.concat_arrays(ids.chunks) if isinstance(ids, pa.ChunkedArray) else ids


def _vectors(columns: pa.Table, ids: pa.Array, path: Path) -> np.ndarray:
    lists = [name for name in columns.column_names if _is_list(columns[name].type)]
    numbers = [name for name in columns.column_names if _is_number(columns[name].type)]
    if len(lists) == 1 and columns.num_columns == 1:
        return _from_lists(columns[lists[0]], ids, path)
    if numbers and len(numbers) == columns.num_columns:
        arrays = [column.cast(pa.float64()).to_numpy() for column in columns.columns]  # missing ones become NaN
        return np.column_stack(arrays)
    found = [f"{field.name} ({field.type})" for field in columns.schema]
    raise DataError(
        f"beside the ids: {_list(found) or 'nothing'}",
        "one column of lists of numbers, or columns of numbers only",
        str(path),
        "leave the other columns out",
    )


def _from_lists(column: pa.ChunkedArray, ids: pa.Array, path: Path) -> np.ndarray:
    lengths = pc.list_value_length(column).fill_null(0).to_numpy()
    width = int(np.bincount(lengths).argmax())
    _refuse(lengths != width, ids, "a list of another length, or none", f"lists of {width} numbers", path)
    values = pc.list_flatten(column).combine_chunks()
    flat: np.ndarray = values.cast(pa.float64()).to_numpy(zero_copy_only=False)  # missing ones become NaN
    return flat.reshape(len(column), width)


def _is_list(kind: pa.DataType) -> bool:
    lists = pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    return bool(lists and _is_number(kind.value_type))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_floating(kind) or pa.types.is_integer(kind))


def _check_ids(ids: pa.Array, where: str) -> None:
    blank = int(pc.sum(pc.equal(pc.utf8_trim_whitespace(ids), "")).as_py())
    if blank:
        raise DataError(f"{blank} empty ids", "an id for each user", where, "name or drop these users")
    _refuse_repeats(ids, "more than once", "each user once", where)


def _refuse_repeats(ids: pa.Array, how: str, expected: str, where: str) -> None:
    counts = pc.value_counts(ids)
    repeated = counts.field("values").filter(pc.greater(counts.field("counts"), 1))
    if len(repeated):
        remedy = "drop the repetitions; where two differ, keep the one that is right"
        raise DataError(f"{len(repeated)} users {how}: {_some(repeated)}", expected, where, remedy)


def _refuse(wrong: np.ndarray, ids: pa.Array, what: str, expected: str, path: Path) -> None:
    if wrong.any():
        raise DataError(
            f"{what} for {int(wrong.sum())} of {len(ids)} users: {_some(ids.filter(pa.array(wrong)))}",
            expected,
            str(path),
            "leave these users out, or mend what made their vectors",
        )


def _some(ids: pa.Array) -> str:
    shown = ", ".join(repr(name) for name in ids[:_NAMED].to_pylist())
    return shown + (", ..." if len(ids) > _NAMED else "")


def _list(names: list[str]) -> str:
    return ", ".join(names[:12]) + (f" and {len(names) - 12} more" if len(names) > 12 else "")
