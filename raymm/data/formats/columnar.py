"""Parquet files to fields, a few row groups at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raymm.data.formats.fields import Fields, objects
from raymm.data.formats.objects import pick, plain_text
from raymm.data.raw import Piece
from raymm.data.storage import open_file
from raymm.errors import DataError

BATCH_ROWS = 65_536


def cut_row_groups(source: int, path: str, piece_bytes: int) -> list[Piece]:
    """Cut a Parquet file into pieces of whole row groups of about `piece_bytes`, unpacked.

    Raises:
        DataError: The file has no rows.
    """
    pieces, first, size = [], 0, 0
    with open_file(path) as stream:
        facts = pq.ParquetFile(stream).metadata
        if not facts.num_rows:
            raise DataError("a Parquet file without rows", "rows", path, "check how the file was written")
        for group in range(facts.num_row_groups):
            size += facts.row_group(group).total_byte_size
            if size >= piece_bytes or group == facts.num_row_groups - 1:
                pieces.append(Piece(source, path, first, group + 1))
                first, size = group + 1, 0
    return pieces


def count_rows(piece: Piece) -> int:
    """Count the rows of a piece."""
    with open_file(piece.path) as stream:
        facts = pq.ParquetFile(stream).metadata
        return sum(facts.row_group(group).num_rows for group in range(piece.start, piece.end))


def read_batches(piece: Piece, names: Sequence[str]) -> Iterator[Fields]:
    """Read the wanted columns of a piece, at most `BATCH_ROWS` rows at a time.

    Args:
        piece: Row groups of a file.
        names: Columns; `a.b` goes into a nested column.

    Raises:
        OSError, pyarrow.ArrowException: The file is gone, or damaged.
    """
    with open_file(piece.path) as stream:
        file = pq.ParquetFile(stream)
        known = set(file.schema_arrow.names)
        tops = list(dict.fromkeys(name if name in known else name.split(".")[0] for name in names))
        first, groups = 0, list(range(piece.start, piece.end))
        for batch in file.iter_batches(batch_size=BATCH_ROWS, row_groups=groups, columns=tops):
            yield _fields(batch, names, first)
            first += batch.num_rows


def _fields(batch: pa.RecordBatch, names: Sequence[str], first: int) -> Fields:
    tops = set(batch.schema.names)
    columns = {name: _column(batch, name, name in tops) for name in names}

    def show(row: int) -> str:
        return repr({name: column[row] for name, column in columns.items()})

    return Fields(columns, np.arange(first, first + batch.num_rows, dtype=np.int64), {}, show)


def _column(batch: pa.RecordBatch, name: str, top: bool) -> np.ndarray:
    if not top:
        first, _, rest = name.partition(".")
        return objects([plain_text(pick(value, rest)) for value in batch[first].to_pylist()])
    values = batch[name]
    kind = values.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        seconds = pc.cast(pc.cast(values, pa.timestamp("us", getattr(kind, "tz", None))), pa.int64())
        values = pc.divide(pc.cast(seconds, pa.float64()), 1e6)
    elif pa.types.is_dictionary(kind):
        values = values.dictionary_decode()
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        found: np.ndarray = values.fill_null("").to_numpy(zero_copy_only=False)
        return found.astype(object)
    return objects([plain_text(value) for value in values.to_pylist()])
