"""Sources of every format to columns of fields: cut into pieces, counted, and read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from raymm.data.formats.columnar import count_rows, cut_row_groups, read_batches
from raymm.data.formats.delimited import cut_lines
from raymm.data.formats.fields import Fields, objects, pick_lines
from raymm.data.formats.objects import cut_objects
from raymm.data.formats.reading import FLAGS_COLUMN, Reading
from raymm.data.raw import DAMAGE, Lines, Piece, count_lines, cut_text, read_lines

BROKEN = (*DAMAGE, pa.ArrowException)  # what reading raises when a file is gone or damaged


def cut_source(source: int, path: str, reading: Reading, piece_bytes: int) -> list[Piece]:
    """Cut a source into pieces of about `piece_bytes` that are read independently of each other.

    Raises:
        DataError: It is empty.
    """
    cut = cut_row_groups if reading.container == "parquet" else cut_text
    return cut(source, path, piece_bytes)


def count_places(piece: Piece, reading: Reading, chunk_bytes: int) -> int:
    """Count the lines, or rows of Parquet, of a piece, as `Fields.lines` would number them."""
    return count_rows(piece) if reading.container == "parquet" else count_lines(piece, chunk_bytes)


def read_fields(piece: Piece, reading: Reading, chunk_bytes: int) -> Iterator[Fields]:
    """Read a piece by columns.

    Args:
        piece: What to read.
        reading: How.
        chunk_bytes: Bytes of text held at a time; Parquet is read by batches of rows.

    Raises:
        Exceptions in `BROKEN`: The file is gone, or damaged.
    """
    if reading.container == "parquet":
        yield from read_batches(piece, reading.wanted)
        return
    header = piece.start == 0 and reading.has_header
    for lines in read_lines(piece, reading.encoding, chunk_bytes, reading.longest):
        yield cut(lines, reading, header)


def cut(lines: Lines, reading: Reading, header: bool) -> Fields:
    """Cut lines into columns.

    Args:
        lines: Lines of one piece.
        reading: How they are cut.
        header: The piece begins with a header line.
    """
    if reading.container == "objects":
        places, texts, reasons = pick_lines(lines, 0)
        names = reading.wanted
        columns, reasons = cut_objects(texts, names, reading.loose, reasons)
    else:
        places, texts, reasons = pick_lines(lines, 1 if header and lines.first == 0 else 0)
        names = reading.names
        columns, reasons = cut_lines(texts, reading.delimiter, reading.quote, len(names), reasons)
    by_name = dict(zip(names, columns, strict=True))
    if reading.flags:
        by_name[FLAGS_COLUMN] = _named_flags(by_name, reading.flags)
    return Fields(by_name, places, reasons, texts.__getitem__, reading.container == "delimited")


def _named_flags(columns: dict[str, np.ndarray], flags: tuple[str, ...]) -> np.ndarray:
    rows = zip(*(columns[flag] for flag in flags), strict=True)
    return objects([" ".join(name for name, mark in zip(flags, row, strict=True) if mark == "1") for row in rows])
