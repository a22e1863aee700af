from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path

import pytest

from raymm.data.raw import Piece, count_lines, cut_text, read_head, read_lines
from raymm.errors import DataError

# Line ends of both kinds, an empty line, characters of several bytes, separators that only Unicode knows, no last end.
TEXT = "head\tline\na\tÅngström\r\n\nb\tcafé\u2028tail\x0b\n漢字漢字漢字\t😀\nlast\tone"
LINES = ["head\tline", "a\tÅngström", "", "b\tcafé\u2028tail\x0b", "漢字漢字漢字\t😀", "last\tone"]


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 11, 64, 1_000])
@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_pieces_hold_each_line_once_and_in_order(tmp_path: Path, piece_bytes: int, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(gzip.compress(TEXT.encode()) if suffix.endswith("gz") else TEXT.encode())
    pieces = cut_text(0, str(path), piece_bytes)
    texts = []
    for piece in pieces:
        before = 0
        for lines in read_lines(piece, "utf-8", piece_bytes):
            assert lines.first == before
            before += len(lines.texts)
            texts.extend(lines.texts)
            assert not lines.undecodable
        assert count_lines(piece, piece_bytes) == before
    assert texts == LINES
    assert len(pieces) == (1 if suffix.endswith("gz") else -(-len(TEXT.encode()) // piece_bytes))


def test_mark_at_the_start_of_the_file_is_no_part_of_the_first_name(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"\xef\xbb\xbfuser,item\nu,i\n")
    assert read_head(str(path), 10) == b"user,it"
    (piece,) = cut_text(0, str(path), 100)
    assert next(read_lines(piece, "utf-8", 100)).texts[0] == "user,item"


def test_lines_of_another_encoding_are_marked_and_kept_readable(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes("plain\nfrüh\nsp\u00e4t".encode("latin-1") + "\nspät\n".encode())
    (piece,) = cut_text(0, str(path), 1_000)
    (lines,) = read_lines(piece, "utf-8", 1_000)
    assert lines.undecodable == {1, 2}
    assert lines.texts == ["plain", "fr\\xfch", "sp\\xe4t", "spät"]


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").touch()
    with pytest.raises(DataError, match="an empty file"):
        cut_text(0, str(tmp_path / "rows.tsv"), 10)


def test_packed_file_that_broke_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-12])
    with pytest.raises(EOFError):
        list(read_lines(Piece(0, str(path), 0, -1), "utf-8", 10))
    path.write_text("not packed at all")
    with pytest.raises(DataError, match="cannot be read"):
        read_head(str(path), 10)


@pytest.mark.parametrize("piece_bytes", [3, 20, 33, 64, 100, 1_000])
@pytest.mark.parametrize("packed", [False, True])
def test_line_above_the_limit_is_cut_and_measured_wherever_pieces_end(
    tmp_path: Path, piece_bytes: int, packed: bool
) -> None:
    texts = ["short", "x" * 32, "y" * 33, "é" * 16, "é" * 17, "", "z" * 700, "last"]
    data = "\n".join(texts).encode()
    path = tmp_path / ("rows.gz" if packed else "rows")
    path.write_bytes(gzip.compress(data) if packed else data)
    found: list[tuple[str, int | None]] = []
    for piece in cut_text(0, str(path), piece_bytes):
        before = len(found)
        for lines in read_lines(piece, "utf-8", piece_bytes, 32):
            found.extend((text, lines.too_long.get(place)) for place, text in enumerate(lines.texts))
        assert count_lines(piece, piece_bytes) == len(found) - before
    assert [length for _, length in found] == [None, None, 33, None, 34, None, 700, None]
    assert [text for text, _ in found] == [text.encode()[:32].decode() for text in texts]


def test_limit_is_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    with path.open("wb") as stream:
        for _ in range(32):
            stream.write(b"x" * 2**20)
        stream.write(b"\nlast\n")
    tracemalloc.start()
    (piece,) = cut_text(0, str(path), 2**30)
    found = [(lines.texts, dict(lines.too_long)) for lines in read_lines(piece, "utf-8", 2**16)]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found[0][1] == {0: 2**25}
    assert found[-1][0] == ["last"]
    assert peak < 2**23


@pytest.mark.parametrize("start", ["\ufeff".encode("utf-16-le"), "\ufeff".encode("utf-16-be"), b"PK\x03\x04", b"BZh9"])
def test_what_is_no_text_is_named(tmp_path: Path, start: bytes) -> None:
    (tmp_path / "rows.tsv").write_bytes(start + b"user")
    with pytest.raises(DataError, match=r"UTF-16|zip"):
        read_head(str(tmp_path / "rows.tsv"), 100)
