from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from raymm.data.raw import Piece, count_lines, cut_fields, cut_into_pieces, cut_lines, read_lines, read_names
from raymm.data.recipe import Layout
from raymm.errors import DataError

# Line ends of both kinds, an empty line, characters of several bytes, separators that only Unicode knows, no last end.
TEXT = "head\tline\na\tÅngström\r\n\nb\tcafé\u2028tail\x0b\n漢字漢字漢字\t😀\nlast\tone"
LINES = ["head\tline", "a\tÅngström", "", "b\tcafé\u2028tail\x0b", "漢字漢字漢字\t😀", "last\tone"]


@pytest.mark.parametrize("piece_bytes", [1, 2, 3, 7, 11, 64, 1_000])
@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_pieces_hold_each_line_once_and_in_order(tmp_path: Path, piece_bytes: int, suffix: str) -> None:
    path = tmp_path / f"rows{suffix}"
    path.write_bytes(gzip.compress(TEXT.encode()) if suffix.endswith("gz") else TEXT.encode())
    pieces = cut_into_pieces(0, path, piece_bytes)
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
    layout = Layout(delimiter=",")
    assert read_names(path, layout, ["user"]) == ("user", "item")
    (piece,) = cut_into_pieces(0, path, 100)
    assert next(read_lines(piece, "utf-8", 100)).texts[0] == "user,item"


def test_lines_of_another_encoding_are_marked_and_kept_readable(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_bytes("plain\nfrüh\nsp\u00e4t".encode("latin-1") + "\nspät\n".encode())
    (piece,) = cut_into_pieces(0, path, 1_000)
    (lines,) = read_lines(piece, "utf-8", 1_000)
    assert lines.undecodable == {1, 2}
    assert lines.texts == ["plain", "fr\\xfch", "sp\\xe4t", "spät"]


def test_wanted_columns_must_be_there_once(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("user\titem\titem\nu\ti\tj\n")
    with pytest.raises(DataError, match=r"(?s)no column 'rating'; columns: 'user', 'item', 'item'.*delimiter"):
        read_names(path, Layout(), ["user", "rating"])
    with pytest.raises(DataError, match="more than one column 'item'"):
        read_names(path, Layout(), ["item"])
    assert read_names(path, Layout(names=("one", "two", "three")), ["two"]) == ("one", "two", "three")


def test_empty_file_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "rows.tsv").touch()
    with pytest.raises(DataError, match="an empty file"):
        cut_into_pieces(0, tmp_path / "rows.tsv", 10)


def test_packed_file_that_broke_off_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv.gz"
    path.write_bytes(gzip.compress(TEXT.encode())[:-12])
    with pytest.raises(EOFError):
        list(read_lines(Piece(0, str(path), 0, -1), "utf-8", 10))
    path.write_text("not packed at all")
    with pytest.raises(DataError, match="cannot be read"):
        read_names(path, Layout(), ["user"])


def test_quotes_are_characters_unless_the_layout_says_otherwise() -> None:
    assert cut_fields('"a,b",c', Layout(delimiter=",")) == ['"a', 'b"', "c"]
    assert cut_fields('"a,b","say ""hi"""', Layout(delimiter=",", quote='"')) == ["a,b", 'say "hi"']
    assert "quotes do not match" in cut_fields('"a,b', Layout(delimiter=",", quote='"'))
    assert cut_fields("a b", Layout(delimiter=",")) == ["a b"]


@pytest.mark.parametrize("quote", ["", '"'])
def test_lines_cut_together_equal_lines_cut_alone(quote: str) -> None:
    layout = Layout(delimiter=",", quote=quote)
    texts = ["a,b,c", ",,", '"x,y",z,"q"', "a,b", 'open,"quote,', "a,b,c,d", "", 'u,"v",w', "last,one,here"]
    columns, reasons = cut_lines(texts, layout, 3)
    alone = [cut_fields(text, layout) for text in texts]
    fits = [isinstance(fields, list) and len(fields) == 3 for fields in alone]
    assert sum(fits) == 5
    assert fits[2] == bool(quote)
    assert set(reasons) == {row for row, fit in enumerate(fits) if not fit}
    for row, fields in enumerate(alone):
        assert [column[row] for column in columns] == (fields if fits[row] else ["", "", ""])
    assert [len(column) for column in cut_lines([], layout, 2)[0]] == [0, 0]
    assert cut_lines(["one", "a,b"], layout, 1)[0][0].tolist() == ["one", ""]
