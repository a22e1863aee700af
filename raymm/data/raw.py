"""Delimited text files to lines and fields, in pieces that are read independently of each other."""

from __future__ import annotations

import csv
import gzip
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

import numpy as np

from raymm.data.recipe import Layout
from raymm.errors import DataError

_MARK = b"\xef\xbb\xbf"  # some programs begin a UTF-8 file with it


@dataclass(frozen=True)
class Piece:
    """A stretch of a file, from the first line that begins in it to the last one.

    Attributes:
        source: Number of the source in the recipe.
        path: The file.
        start: First byte.
        end: Byte behind the last; -1 for the whole of a file that is packed and cannot be entered in the middle.
    """

    source: int
    path: str
    start: int
    end: int


@dataclass(frozen=True)
class Lines:
    """Consecutive lines of a piece, without their line ends.

    Attributes:
        first: Number of the first of them within the piece, from 0.
        texts: The lines.
        undecodable: Places in `texts` of lines that the encoding cannot hold; their bad bytes are escaped.
    """

    first: int
    texts: list[str]
    undecodable: frozenset[int]


def cut_into_pieces(source: int, path: Path, piece_bytes: int) -> list[Piece]:
    """Cut a file into pieces that together hold each line once; a packed file is one piece.

    Args:
        source: Number of the source in the recipe.
        path: The file.
        piece_bytes: Wanted size of a piece.

    Raises:
        DataError: The file is empty.
    """
    size = path.stat().st_size
    if not size:
        raise DataError("an empty file", "lines of text", str(path), "check how the file was written")
    if _is_packed(path):
        return [Piece(source, str(path), 0, -1)]
    return [Piece(source, str(path), start, min(start + piece_bytes, size)) for start in range(0, size, piece_bytes)]


def read_names(path: Path, layout: Layout, wanted: Sequence[str]) -> tuple[str, ...]:
    """Read the names of a file's columns from its first line, or take those of the recipe.

    Args:
        path: The file.
        layout: How its lines are cut.
        wanted: Names that must be there.

    Raises:
        DataError: A wanted column is not there, or there twice; the file cannot be read.
    """
    names = layout.names
    if not names:
        with _opened(path) as stream:
            try:
                line = stream.readline().removeprefix(_MARK).decode(layout.encoding)
            except (EOFError, OSError, zlib.error, UnicodeDecodeError) as error:
                raise unreadable(str(path), str(error)) from error
        fields = cut_fields(_trimmed(line.removesuffix("\n")), layout)
        names = tuple(fields) if isinstance(fields, list) else (line,)
    for name in wanted:
        if names.count(name) != 1:
            times = "no" if name not in names else "more than one"
            raise DataError(
                f"{times} column {name!r}; columns: {', '.join(repr(name)[:40] for name in names[:12])}",
                f"one column {name!r}",
                str(path),
                "mend `columns` of this source in the recipe; `layout` holds the delimiter, and names without a header",
            )
    return names


def read_lines(piece: Piece, encoding: str, chunk_bytes: int) -> Iterator[Lines]:
    """Read the lines of a piece.

    Args:
        piece: What to read; the header is line 0 of a file's first piece, like any other line.
        encoding: Name of a one-byte encoding, or utf-8.
        chunk_bytes: Most of a packed file that is unpacked at a time; one line more is.

    Raises:
        EOFError, OSError, zlib.error: The file is gone, or damaged.
    """
    first = 0
    for chunk in _chunks(piece, chunk_bytes):
        if piece.start == 0 and first == 0:
            chunk = chunk.removeprefix(_MARK)
        lines = _decoded(chunk, encoding, first)
        yield lines
        first += len(lines.texts)


def count_lines(piece: Piece, chunk_bytes: int) -> int:
    """Count the lines of a piece, as `read_lines` would number them."""
    return sum(chunk.count(b"\n") + (not chunk.endswith(b"\n")) for chunk in _chunks(piece, chunk_bytes))


def cut_fields(line: str, layout: Layout) -> list[str] | str:
    """Cut a line into fields; a string says why that is not possible."""
    if not layout.quote or layout.quote not in line:
        return line.split(layout.delimiter)
    try:
        return next(csv.reader([line], delimiter=layout.delimiter, quotechar=layout.quote, strict=True))
    except csv.Error as error:
        return f"quotes do not match: {error}"


def cut_lines(texts: Sequence[str], layout: Layout, n_fields: int) -> tuple[list[np.ndarray], dict[int, str]]:
    """Cut lines into columns; regular lines, nearly all of them, go together as one long line.

    Args:
        texts: n lines.
        layout: How they are cut.
        n_fields: Fields that a line must have.

    Returns:
        `n_fields` columns of (n,) strings, and of each line that has not as many fields its place and the reason; its
        fields are empty.
    """
    delimiter, quote = layout.delimiter, layout.quote
    blank = delimiter * (n_fields - 1)
    regular = [text.count(delimiter) == n_fields - 1 and not (quote and quote in text) for text in texts]
    flat = delimiter.join(text if fits else blank for text, fits in zip(texts, regular, strict=True)).split(delimiter)
    columns = [np.array(flat[column : len(texts) * n_fields : n_fields], dtype=object) for column in range(n_fields)]
    reasons = {}
    for row in (row for row, fits in enumerate(regular) if not fits):
        fields = cut_fields(texts[row], layout)
        if isinstance(fields, str):
            reasons[row] = fields
        elif len(fields) != n_fields:
            reasons[row] = f"{len(fields)} fields where the header has {n_fields}"
        else:
            for column, field in zip(columns, fields, strict=True):
                column[row] = field
    return columns, reasons


def unreadable(path: str, reason: str) -> DataError:
    """Build the error of a file that cannot be read to its end."""
    return DataError(
        f"a file that cannot be read: {reason}",
        "text, or text packed by gzip",
        path,
        "restore the file from its origin, or mend `layout.encoding` of this source in the recipe",
    )


def _chunks(piece: Piece, chunk_bytes: int) -> Iterator[bytes]:
    """Yield bytes that end with a line."""
    with _opened(Path(piece.path)) as stream:
        if piece.end < 0:
            while chunk := stream.read(chunk_bytes):
                yield chunk + stream.readline()
            return
        position = 0
        if piece.start:
            stream.seek(piece.start - 1)
            position = piece.start - 1 + len(stream.readline())  # the line before belongs to the piece before
        if position < piece.end:
            chunk = stream.read(piece.end - position)
            yield chunk if chunk.endswith(b"\n") else chunk + stream.readline()


def _decoded(chunk: bytes, encoding: str, first: int) -> Lines:
    try:
        texts = chunk.decode(encoding).removesuffix("\n").split("\n")
        return Lines(first, [_trimmed(text) for text in texts], frozenset())
    except UnicodeDecodeError:
        texts, undecodable = [], set()
        for place, line in enumerate(chunk.removesuffix(b"\n").split(b"\n")):
            try:
                texts.append(_trimmed(line.decode(encoding)))
            except UnicodeDecodeError:
                texts.append(_trimmed(line.decode(encoding, "backslashreplace")))
                undecodable.add(place)
        return Lines(first, texts, frozenset(undecodable))


def _trimmed(line: str) -> str:
    return line.removesuffix("\r")


def _is_packed(path: Path) -> bool:
    return path.suffix == ".gz"


def _opened(path: Path) -> BinaryIO:
    return cast(BinaryIO, gzip.open(path, "rb")) if _is_packed(path) else path.open("rb")
