"""The formats that are known by name: how their files are cut, which columns they have, and what gives them away."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["interactions", "items"]
Container = Literal["delimited", "objects", "parquet"]
TimeUnit = Literal["s", "ms", "us", "ns"]

SNIFF = "auto"
_GENRES = tuple(
    re.findall(
        r"[\w-]+",
        "unknown Action Adventure Animation Children Comedy Crime Documentary Drama Fantasy Film-Noir Horror Musical "
        "Mystery Romance Sci-Fi Thriller War Western",
    )
)
_NUMBER, _STAR, _TIME = r"\d{1,12}", r"[0-5](\.\d)?", r"\d{9,10}"
_AMAZON_USER, _AMAZON_ITEM = r"[A-Z0-9]{11,}", r"[A-Z0-9]{10}"  # user ids are longer than those of products


@dataclass(frozen=True)
class Format:
    """One format of files of one kind.

    Attributes:
        name: What a recipe calls it.
        kind: What its files hold.
        container: Lines cut by a delimiter, one object (JSON, or a Python literal where `loose`) a line, or Parquet.
        columns: Role (`user`, `item`, `rating`, ...) to the column that holds it; optional ones may be absent.
        delimiter: Between fields.
        quote: Around fields, or empty.
        encoding: How text is stored.
        names: Columns of files without a header line.
        time_unit: Unit of times.
        typed: Names in the header carry a type behind a colon, which is cut off.
        loose: Lines that are not JSON are read as Python literals.
        flags: Columns of 0 and 1 whose names, where 1, make up a text column `genres`.
        wants: Columns, or keys of objects, that a file must have to be recognised.
        wants_any: At least one of these, too.
        lacks: Columns or keys that it must not have.
        patterns: What the fields of a file without a header look like, one expression a field.
        file_names: Patterns of its usual names; files of other names can be of it as well.
    """

    name: str
    kind: Kind
    container: Container
    columns: Mapping[str, str] = field(default_factory=dict)
    delimiter: str = "\t"
    quote: Literal["", '"'] = ""
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    names: tuple[str, ...] = ()
    time_unit: TimeUnit = "s"
    typed: bool = False
    loose: bool = False
    flags: tuple[str, ...] = ()
    wants: tuple[str, ...] = ()
    wants_any: tuple[str, ...] = ()
    lacks: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    file_names: tuple[str, ...] = ()


_AMAZON_REVIEW = {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}
_FOUR = {"user": "user", "item": "item", "rating": "rating", "time": "time"}
_AMAZON_2023 = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"}
_ASIN = {"item": "asin", "title": "title"}

INTERACTION_FORMATS = (
    Format(
        "amazon_2014",
        "interactions",
        "objects",
        _AMAZON_REVIEW,
        loose=True,
        wants=("reviewerID", "asin", "overall"),
        lacks=("verified",),
    ),
    Format(
        "amazon_2014_ratings",
        "interactions",
        "delimited",
        _FOUR,
        ",",
        names=("user", "item", "rating", "time"),
        patterns=(_AMAZON_USER, _AMAZON_ITEM, _STAR, _TIME),
    ),
    Format(
        "amazon_2018",
        "interactions",
        "objects",
        _AMAZON_REVIEW,
        wants=("reviewerID", "asin", "overall", "verified"),
    ),
    Format(
        "amazon_2018_ratings",
        "interactions",
        "delimited",
        _FOUR,
        ",",
        names=("item", "user", "rating", "time"),
        patterns=(_AMAZON_ITEM, _AMAZON_USER, _STAR, _TIME),
    ),
    Format(
        "amazon_2023",
        "interactions",
        "objects",
        _AMAZON_2023,
        time_unit="ms",
        wants=("user_id", "parent_asin", "rating"),
    ),
    Format(
        "amazon_2023_ratings",
        "interactions",
        "delimited",
        _AMAZON_2023,
        ",",
        time_unit="ms",
        wants=("user_id", "parent_asin", "rating", "timestamp"),
    ),
    Format(
        "movielens_100k",
        "interactions",
        "delimited",
        _FOUR,
        names=("user", "item", "rating", "time"),
        patterns=(_NUMBER, _NUMBER, "[1-5]", _TIME),
        file_names=("u.data", "u[1-5ab].base", "u[1-5ab].test"),
    ),
    Format(
        "movielens_1m",
        "interactions",
        "delimited",
        _FOUR,
        "::",
        encoding="latin-1",
        names=("user", "item", "rating", "time"),
        patterns=(_NUMBER, _NUMBER, _STAR, _TIME),
        file_names=("ratings.dat",),
    ),
    Format(
        "movielens_csv",
        "interactions",
        "delimited",
        {"user": "userId", "item": "movieId", "rating": "rating", "time": "timestamp"},
        ",",
        '"',
        wants=("userId", "movieId", "rating"),
        file_names=("ratings.csv",),
    ),
    Format(
        "recbole",
        "interactions",
        "delimited",
        {"user": "user_id", "item": "item_id", "rating": "rating", "time": "timestamp"},
        typed=True,
        wants=("user_id", "item_id"),
        lacks=("x_label",),
        file_names=("*.inter",),
    ),
    Format(
        "mmrec",
        "interactions",
        "delimited",
        {"user": "userID", "item": "itemID", "rating": "rating", "time": "timestamp", "label": "x_label"},
        wants=("userID", "itemID", "x_label"),
        file_names=("*.inter",),
    ),
    Format(
        "douban",
        "interactions",
        "delimited",
        {"user": "user", "item": "item", "rating": "rating"},
        names=("user", "item", "rating"),
        patterns=(_NUMBER, _NUMBER, r"[1-5](\.0)?"),
        file_names=("*ratings.dat",),
    ),
)

ITEM_FORMATS = (
    Format(
        "amazon_2014",
        "items",
        "objects",
        _ASIN,
        loose=True,
        wants=("asin",),
        wants_any=("imUrl", "categories", "salesRank"),
        lacks=("overall", "reviewerID"),
    ),
    Format(
        "amazon_2018",
        "items",
        "objects",
        _ASIN,
        loose=True,
        wants=("asin",),
        wants_any=("category", "feature", "main_cat", "also_view", "imageURL", "imageURLHighRes"),
        lacks=("overall", "reviewerID"),
    ),
    Format(
        "amazon_2023",
        "items",
        "objects",
        {"item": "parent_asin", "title": "title"},
        wants=("parent_asin",),
        wants_any=("features", "description", "categories", "store", "main_category", "images"),
        lacks=("user_id",),
    ),
    Format(
        "movielens_100k",
        "items",
        "delimited",
        {"item": "movie", "title": "title"},
        "|",
        encoding="latin-1",
        names=("movie", "title", "released", "released on video", "address", *_GENRES),
        flags=_GENRES,
        patterns=(_NUMBER, ".*", ".*", ".*", ".*", *("[01]",) * len(_GENRES)),
        file_names=("u.item",),
    ),
    Format(
        "movielens_1m",
        "items",
        "delimited",
        {"item": "movie", "title": "title"},
        "::",
        encoding="latin-1",
        names=("movie", "title", "genres"),
        patterns=(_NUMBER, ".+", ".+"),
        file_names=("movies.dat",),
    ),
    Format(
        "movielens_csv",
        "items",
        "delimited",
        {"item": "movieId", "title": "title"},
        ",",
        '"',
        wants=("movieId", "title"),
        file_names=("movies.csv",),
    ),
    Format(
        "recbole",
        "items",
        "delimited",
        {"item": "item_id", "title": "title"},
        typed=True,
        wants=("item_id",),
        file_names=("*.item",),
    ),
)


def generic_formats(kind: Kind) -> tuple[Format, ...]:
    """Return the formats that say how a file is cut; columns have the names of their roles or those in the recipe."""
    columns = {"user": "user", "item": "item", "rating": "rating", "time": "time"}
    if kind == "items":
        columns = {"item": "item", "title": "title"}
    return (
        Format("tsv", kind, "delimited", columns, file_names=("*.tsv", "*.tab")),
        Format("csv", kind, "delimited", columns, ",", '"', file_names=("*.csv",)),
        Format("jsonl", kind, "objects", columns, file_names=("*.jsonl", "*.ndjson", "*.json")),
        Format("literals", kind, "objects", columns, loose=True),
        Format("parquet", kind, "parquet", columns, file_names=("*.parquet", "*.pq")),
    )


def formats_of(kind: Kind) -> dict[str, Format]:
    """Return every format of a kind by its name: the known ones, then the generic ones."""
    known = INTERACTION_FORMATS if kind == "interactions" else ITEM_FORMATS
    return {one.name: one for one in (*known, *generic_formats(kind))}
