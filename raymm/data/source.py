"""The sources of a recipe: which files, of which format, and what in them is what."""

from __future__ import annotations

import dataclasses
from typing import Literal

from raymm.config import check, setting
from raymm.data.formats.known import SNIFF, Kind, TimeUnit, formats_of
from raymm.data.storage import check_url
from raymm.errors import ConfigError

_LEFT_OUT = "; left out: as the format has it; empty: there is none"


@dataclasses.dataclass(frozen=True)
class InteractionColumns:
    """The columns of an interaction file by name; what is left out is as the format has it, empty means none."""

    user: str | None = setting(None, "column of external user ids; left out: as the format has it")
    item: str | None = setting(None, "column of external item ids; left out: as the format has it")
    rating: str | None = setting(None, "column of ratings" + _LEFT_OUT)
    time: str | None = setting(None, "column of times, in time_unit since 1970" + _LEFT_OUT)
    order: str | None = setting(None, "column of whole numbers that order a user's history")
    label: str | None = setting(None, "column of a given split: 0 training, 1 validation, 2 test" + _LEFT_OUT)
    domain: str = setting("", "column that names the domain, where one file holds several")

    def __post_init__(self) -> None:
        """Check that the ids have a column."""
        _check_named(self, ("user", "item"))


@dataclasses.dataclass(frozen=True)
class ItemColumns:
    """The columns of an item file by name; what is left out is as the format has it, empty means none."""

    item: str | None = setting(None, "column of external item ids; left out: as the format has it")
    title: str | None = setting(None, "column of titles, shown beside recommendations" + _LEFT_OUT)
    domain: str = setting("", "column that names the domain, where one file holds several")

    def __post_init__(self) -> None:
        """Check that the ids have a column."""
        _check_named(self, ("item",))


@dataclasses.dataclass(frozen=True)
class Layout:
    """How lines of text are cut into fields, where it is not as the format has it; a field never holds a line break."""

    delimiter: str | None = setting(None, "what stands between fields, one to three characters")
    quote: Literal["", '"'] | None = setting(None, "character around fields; empty: every character stands for itself")
    encoding: Literal["utf-8", "latin-1", "cp1252"] | None = setting(None, "how text is stored")
    names: tuple[str, ...] | None = setting(None, "names of the columns of a file without a header line")

    def __post_init__(self) -> None:
        """Check the delimiter and the names."""
        check(self)
        delimiter = self.delimiter
        if delimiter is not None and (not 1 <= len(delimiter) <= 3 or set(delimiter) & set('\n\r"')):
            raise ConfigError(f"delimiter: found {delimiter!r}, expected one to three plain characters")
        if delimiter is not None and len(delimiter) > 1 and self.quote:
            raise ConfigError(f"delimiter: found {delimiter!r} and quotes, expected one character with quotes")
        if self.names is not None and len(set(self.names)) != len(self.names):
            raise ConfigError(f"names: found {list(self.names)}, expected names that differ")


@dataclasses.dataclass(frozen=True)
class InteractionSource:
    """One file of interactions."""

    path: str = setting(help="file, relative to the recipe, or URL; what gzip packed is unpacked while reading")
    format: str = setting(SNIFF, "name of a known format; auto: found out from the file's name and first lines")
    domain: str = setting("", "domain of all rows, unless a column names it; left out: the only one of the recipe")
    columns: InteractionColumns = setting(InteractionColumns, "columns by name; keys within objects by a.b.c")
    layout: Layout = setting(Layout, "delimiter, quotes, encoding, header")
    time_unit: TimeUnit | None = setting(None, "unit of times; left out: as the format has it, else seconds")

    def __post_init__(self) -> None:
        """Check the address and the format."""
        _check_source(self, "interactions")


@dataclasses.dataclass(frozen=True)
class ItemSource:
    """One file of items."""

    path: str = setting(help="file, relative to the recipe, or URL; what gzip packed is unpacked while reading")
    format: str = setting(SNIFF, "name of a known format; auto: found out from the file's name and first lines")
    domain: str = setting("", "domain of all rows, unless a column names it; left out: the only one of the recipe")
    columns: ItemColumns = setting(ItemColumns, "columns by name; keys within objects by a.b.c")
    layout: Layout = setting(Layout, "delimiter, quotes, encoding, header")

    def __post_init__(self) -> None:
        """Check the address and the format."""
        _check_source(self, "items")


def _check_named(columns: InteractionColumns | ItemColumns, required: tuple[str, ...]) -> None:
    for name in required:
        if getattr(columns, name) == "":
            raise ConfigError(f"{name}: found nothing, expected the name of a column")


def _check_source(source: InteractionSource | ItemSource, kind: Kind) -> None:
    check_url(source.path)
    known = formats_of(kind)
    if source.format != SNIFF and source.format not in known:
        raise ConfigError(f"format: found {source.format!r}, expected {SNIFF!r} or one of {', '.join(known)}")
    if source.domain and source.columns.domain:
        found = f"domain = {source.domain!r} and columns.domain = {source.columns.domain!r}"
        raise ConfigError(f"domain: found {found}, expected one of the two")
