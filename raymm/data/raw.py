"""Text files to lines, in pieces that are read independently of each other; no line takes more than its share."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import BinaryIO, cast

from raymm.data.storage import file_name, open_file, size_of
from raymm.errors import DataError

LONGEST_LINE = 2**20  # bytes of a line unless a recipe says otherwise
DAMAGE = (OSError, EOFError, zlib.error)  # what reading a file raises that is gone or broken
SHOWN = 500  # bytes that are kept of a line that is too long
_MARK = b"\xef\xbb\xbf"  # some programs begin a UTF-8 file with it
_GZIP = b"\x1f\x8b"
_FOREIGN = {
    b"\xff\xfe": "text in UTF-16",
    b"\xfe\xff": "text in UTF-16",
    b"PK\x03\x04": "an archive packed by zip",
    b"BZh": "a file packed by bzip2",
    b"\xfd7zXZ": "a file packed by xz",
    b"\x28\xb5\x2f\xfd": "a file packed by zstd",
}


@dataclass(frozen=True)
class Piece:
    """A stretch of a file.

    Attributes:
        source: Number of the source in the recipe.
        path: The file, as `locate` returned it.
        start: First byte; lines that begin from here on belong to the piece. Of Parquet, the first row group.
        end: Byte (or row group) behind the last; -1 for the whole of a packed file, which has no way into its middle.
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
        texts: The lines; of one that is too long, its beginning.
        undecodable: Places in `texts` of lines that the encoding cannot hold; their bad bytes are escaped.
        too_long: Place to length in bytes of lines longer than was allowed.
    """

    first: int
    texts: list[str]
    undecodable: frozenset[int] = frozenset()
    too_long: Mapping[int, int] = field(default_factory=dict)


def cut_text(source: int, path: str, piece_bytes: int) -> list[Piece]:
    """Cut a text file into pieces that together hold each line once; a packed file is one piece.

    Args:
        source: Number of the source in the recipe.
        path: The file.
        piece_bytes: Wanted size of a piece.

    Raises:
        DataError: The file is empty, or no text.
    """
    size = size_of(path)
    if not size:
        raise DataError("an empty file", "lines of text", path, "check how the file was written")
    if _is_packed(path):
        return [Piece(source, path, 0, -1)]
    return [Piece(source, path, start, min(start + piece_bytes, size)) for start in range(0, size, piece_bytes)]


def read_head(path: str, n_bytes: int) -> bytes:
    """Read the first bytes of a file, unpacked.

    Raises:
        DataError: The file cannot be read, or is of a kind that is known and is no text.
    """
    try:
        with _opened(path, _is_packed(path)) as stream:
            head = stream.read(n_bytes)
    except DAMAGE as error:
        raise unreadable(path, str(error)) from error
    for mark, what in _FOREIGN.items():
        if head.startswith(mark):
            raise DataError(what, "UTF-8, Latin-1 or Windows-1252 text, plain or packed by gzip", path, "convert it")
    return head.removeprefix(_MARK)


def read_lines(piece: Piece, encoding: str, chunk_bytes: int, longest: int = LONGEST_LINE) -> Iterator[Lines]:
    """Read the lines of a piece.

    Args:
        piece: What to read; the header is line 0 of a file's first piece, like any other line.
        encoding: Name of a one-byte encoding, or utf-8.
        chunk_bytes: Bytes read at a time; of the line that they end in, at most `longest` bytes more are.
        longest: Bytes of a line above which only its beginning and its length are kept.

    Raises:
        EOFError, OSError, zlib.error: The file is gone, or damaged.
    """
    first = 0
    for chunk, too_long in _chunks(piece, chunk_bytes, longest):
        if piece.start == 0 and first == 0:
            chunk = chunk.removeprefix(_MARK)
        lines = _decoded(chunk, encoding, first, longest, too_long)
        yield lines
        first += len(lines.texts)


def count_lines(piece: Piece, chunk_bytes: int) -> int:
    """Count the lines of a piece, as `read_lines` would number them."""
    return sum(
        chunk.count(b"\n") + (not chunk.endswith(b"\n")) for chunk, _ in _chunks(piece, chunk_bytes, LONGEST_LINE)
    )


def unreadable(path: str, reason: str) -> DataError:
    """Build the error of a file that cannot be read to its end."""
    return DataError(
        f"a file that cannot be read: {reason}",
        "text, or text packed by gzip",
        path,
        "restore the file from its origin, or mend `layout.encoding` of this source in the recipe",
    )


def _chunks(piece: Piece, chunk_bytes: int, longest: int) -> Iterator[tuple[bytes, dict[int, int]]]:
    """Yield bytes that end with a line, and the lengths of lines of which they hold the beginning only."""
    with _opened(piece.path, piece.end < 0) as stream:
        position = 0
        if piece.start:
            stream.seek(piece.start - 1)
            # The line before belongs to the piece before.
            position = piece.start - 1 + _skip_line(stream, piece.end - piece.start + 1)[0]
        while piece.end < 0 or position < piece.end:
            chunk = stream.read(chunk_bytes if piece.end < 0 else min(chunk_bytes, piece.end - position))
            if not chunk:
                return
            position += len(chunk)
            too_long: dict[int, int] = {}
            if not chunk.endswith(b"\n"):
                chunk, length, too_long = _completed(stream, chunk, longest)
                position += length
            yield chunk, too_long


def _completed(stream: BinaryIO, chunk: bytes, longest: int) -> tuple[bytes, int, dict[int, int]]:
    """Read the rest of a chunk's last line; return the chunk, the bytes read, and the length of a line too long."""
    start = chunk.rfind(b"\n") + 1
    begun = len(chunk) - start
    tail = stream.readline(longest + 1 - begun) if begun <= longest else b""
    if begun + len(tail) <= longest or tail.endswith(b"\n"):
        return chunk + tail, len(tail), {}
    skipped, ended = _skip_line(stream)
    beginning = (chunk[start : start + SHOWN] + tail)[: min(SHOWN, longest)]
    length = begun + len(tail) + skipped - ended
    return chunk[:start] + beginning + b"\n", len(tail) + skipped, {chunk.count(b"\n"): length}


def _skip_line(stream: BinaryIO, at_most: int | None = None) -> tuple[int, bool]:
    """Read to the end of a line, or until `at_most` bytes are behind; return how many were read, and if it ended."""
    read, ended = 0, False
    while not ended and (at_most is None or read < at_most):
        part = stream.readline(LONGEST_LINE)
        read += len(part)
        if not part:
            break
        ended = part.endswith(b"\n")
    return read, ended


def _decoded(chunk: bytes, encoding: str, first: int, longest: int, too_long: dict[int, int]) -> Lines:
    undecodable = set()
    try:
        texts = chunk.decode(encoding).removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        texts = []
        for place, line in enumerate(chunk.removesuffix(b"\n").split(b"\n")):
            try:
                texts.append(line.decode(encoding, "ignore" if place in too_long else "strict"))
            except UnicodeDecodeError:
                texts.append(line.decode(encoding, "backslashreplace"))
                undecodable.add(place)
    width = 4 if encoding == "utf-8" else 1  # most bytes of a character
    for place, text in enumerate(texts):
        if len(text) * width > longest and place not in too_long:
            line = text.encode(encoding)
            if len(line) > longest:
                too_long[place] = len(line)
                texts[place] = line[: min(SHOWN, longest)].decode(encoding, "ignore")
    return Lines(first, [text.removesuffix("\r") for text in texts], frozenset(undecodable), too_long)


def _is_packed(path: str) -> bool:
    if file_name(path).endswith(".gz"):
        return True
    with open_file(path) as stream:
        return stream.read(len(_GZIP)) == _GZIP


@contextmanager
def _opened(path: str, packed: bool) -> Iterator[BinaryIO]:
    with open_file(path) as stream:
        if not packed:
            yield stream
            return
        with gzip.open(stream, "rb") as unpacked:
            yield cast(BinaryIO, unpacked)
