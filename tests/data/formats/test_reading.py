from __future__ import annotations

from typing import Any

import pytest

from raymm.config import build
from raymm.data.formats.reading import Reading, settle
from raymm.data.formats.sniff import Head
from raymm.data.source import InteractionSource, ItemSource
from raymm.errors import DataError

FILMS = Head("u.data", ("196\t242\t3\t881250949",))


def settled(head: Head, **values: Any) -> Reading:
    return settle(build(InteractionSource, {"path": "x", **values}), "interactions", head, [])


def test_format_fills_in_what_the_recipe_leaves_out() -> None:
    reading = settled(FILMS)
    assert reading.format == "movielens_100k"
    assert dict(reading.columns) == {
        "user": "user",
        "item": "item",
        "rating": "rating",
        "time": "time",
        "order": "",
        "label": "",
        "domain": "",
    }
    assert (reading.names, reading.has_header) == (("user", "item", "rating", "time"), False)
    assert reading.wanted == ("user", "item", "rating", "time")


def test_what_the_recipe_says_comes_first() -> None:
    values = {"columns": {"rating": "", "order": "time"}, "layout": {"encoding": "cp1252"}, "time_unit": "ms"}
    reading = settled(FILMS, format="movielens_100k", **values)
    assert (reading.columns["rating"], reading.columns["order"], reading.columns["user"]) == ("", "time", "user")
    assert (reading.encoding, reading.delimiter, reading.time_unit) == ("cp1252", "\t", "ms")


def test_optional_columns_are_taken_where_they_are_and_wanted_ones_must_be() -> None:
    head = Head("baby.inter", ("userID\titemID\tx_label", "0\t1\t0"))
    reading = settled(head)
    assert (reading.format, reading.columns["time"], reading.columns["label"]) == ("mmrec", "", "x_label")
    with pytest.raises(DataError, match=r"(?s)baby\.inter.*no column 'stars'; columns: 'userID'.*Formats: amazon"):
        settled(head, columns={"rating": "stars"})
    with pytest.raises(DataError, match="no column 'reviewerID'; columns: 'user'"):
        settled(Head("x.json", ('{"user": "u"}',)), format="amazon_2014")


def test_format_must_store_rows_as_the_file_does() -> None:
    text, packed = Head("x.csv", ("user,item", "u,i")), Head("x", (), ("user", "item"))
    for head, name, found in ((text, "jsonl", "begins 'user,item'"), (text, "parquet", "begins"), (packed, "csv", "")):
        with pytest.raises(DataError, match=rf"(?s){found}.*as format '{name}' has it"):
            settled(head, format=name)


def test_ratings_and_times_are_not_lost_where_their_columns_say_what_they_are() -> None:
    head = Head("x.csv", ("user,item,rating,time", "u,i,3,1"))
    assert settled(head).wanted == ("user", "item", "rating", "time")
    assert settled(head, columns={"time": ""}).wanted == ("user", "item", "rating")
    assert settled(Head("x.csv", ("user,item", "u,i"))).wanted == ("user", "item")


def test_column_that_is_there_twice_is_an_error() -> None:
    head = Head("x.tsv", ("user\titem\titem", "u\ti\tj"))
    with pytest.raises(DataError, match="more than one column 'item'"):
        settled(head, columns={"user": "user", "item": "item"})


def test_texts_of_modalities_are_wanted_too() -> None:
    source = build(ItemSource, {"path": "x"})
    head = Head("movies.csv", ("movieId,title,genres", "1,Toy Story,Comedy"))
    assert settle(source, "items", head, ["genres"]).wanted == ("movieId", "title", "genres")
    with pytest.raises(DataError, match="no column 'plot'"):
        settle(source, "items", head, ["plot"])
    rare = Head("meta.json", ('{"asin": "a", "imUrl": "x"}',))
    assert settle(source, "items", rare, ["description"]).texts == ("description",)
