from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.config import build
from raymm.data.formats.reading import settle
from raymm.data.formats.sniff import Head, cut_header, look, recognise
from raymm.data.source import InteractionSource, ItemSource
from raymm.errors import DataError

AUTO = build(InteractionSource, {"path": "x"})
ITEMS = build(ItemSource, {"path": "x"})


def test_head_has_the_first_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "Rows.TSV"
    path.write_bytes(b"\xef\xbb\xbfone\r\n\r\ntwo\n" + b"line\n" * 100_000 + b"cut")
    head = look(str(path))
    assert head.lines[:3] == ("one", "two", "line")
    assert len(head.lines) == 50
    assert set(head.lines[2:]) == {"line"}
    assert (head.name, head.is_parquet) == ("rows.tsv", False)


def test_order_of_ids_is_told_by_their_shape_or_not_at_all() -> None:
    for line, name in (
        ("A0000000001,B000000000", "amazon_2014_ratings"),
        ("B000000000,A0000000001", "amazon_2018_ratings"),
    ):
        head = Head("x.csv", (f"{line},5.0,1400000000",))
        assert recognise(AUTO, "interactions", head).name == name
    unclear = Head("x.csv", ("A000000000,B000000000,5.0,1400000000",))
    with pytest.raises(DataError, match=r"(?s)no column 'user'.*amazon_2014_ratings, .*amazon_2018_ratings"):
        settle(AUTO, "interactions", unclear, [])


def test_file_that_fits_two_formats_is_an_error_unless_its_name_decides() -> None:
    lines = ("userID:token\titemID:token\tx_label:token\tuser_id:token\titem_id:token",)
    assert recognise(AUTO, "interactions", Head("x.inter", ("user_id:token\titem_id:token",))).name == "recbole"
    films = ("1::Toy Story::Comedy",)
    assert recognise(ITEMS, "items", Head("movies.dat", films)).name == "movielens_1m"
    both = ('{"asin": "B1", "imUrl": "x", "category": ["y"]}',)
    with pytest.raises(DataError, match=r"(?s)could be 'amazon_2014' or 'amazon_2018'.*set `format`"):
        recognise(ITEMS, "items", Head("meta.json", both))
    with pytest.raises(DataError, match="one of amazon_2014"):
        recognise(AUTO, "interactions", Head("x", lines))


def test_unknown_text_is_refused_with_its_beginning() -> None:
    for lines in (("hello world",), ("a b c", "d e"), ("one,two;three", "four,five;six")):
        with pytest.raises(DataError, match=r"(?s)no known format; it begins.*mmrec.*set `format`"):
            recognise(AUTO, "interactions", Head("notes.txt", lines))


@pytest.mark.parametrize(("delimiter", "base"), [("\t", "tsv"), (",", "csv"), (";", "delimited"), ("::", "delimited")])
def test_named_columns_find_the_delimiter(delimiter: str, base: str) -> None:
    source = build(InteractionSource, {"path": "x", "columns": {"user": "who", "item": "what"}})
    lines = tuple(delimiter.join(fields) for fields in (("who", "what"), ("a b", "c|d"), ("e", "f|g")))
    form = recognise(source, "interactions", Head("rows.txt", lines))
    assert (form.name, form.delimiter) == (base, delimiter)


def test_named_columns_leave_known_formats_aside() -> None:
    source = build(InteractionSource, {"path": "x", "columns": {"user": "movieId", "item": "userId"}})
    assert recognise(source, "interactions", Head("ratings.csv", ("userId,movieId,rating", "1,2,3"))).name == "csv"
    assert recognise(AUTO, "interactions", Head("any.csv", ("userId,movieId,rating", "1,2,3"))).name == "movielens_csv"


def test_ending_and_content_tell_generic_formats(tmp_path: Path) -> None:
    named = build(InteractionSource, {"path": "x", "columns": {"user": "u", "item": "i"}})
    assert recognise(named, "interactions", Head("x", ('{"u": 1, "i": 2}',))).name == "jsonl"
    assert recognise(named, "interactions", Head("x", ("{'u': 1, 'i': 2}",))).name == "literals"
    path = tmp_path / "x"
    pq.write_table(pa.table({"u": [1], "i": [2]}), path)
    head = look(str(path))
    assert recognise(AUTO, "interactions", head).name == "parquet"
    assert cut_header(head, recognise(AUTO, "interactions", head)) == ("u", "i")


def test_what_other_programs_call_lines_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"user,item\ru,i\r")
    with pytest.raises(DataError, match="carriage return alone"):
        look(str(tmp_path / "x.csv"))
    for lines in (('[{"user": "u"}]',), ("[", ' {"user": "u"}', "]")):
        with pytest.raises(DataError, match="a JSON array in one piece"):
            recognise(AUTO, "interactions", Head("x.json", lines))
