"""How one source is read: what its format says, and where the recipe says otherwise, the recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from raymm.data.formats.known import SNIFF, Container, Format, Kind, TimeUnit, formats_of
from raymm.data.formats.sniff import Head, cut_header, read_objects, recognise
from raymm.data.raw import LONGEST_LINE
from raymm.data.source import InteractionSource, ItemSource
from raymm.errors import DataError

FLAGS_COLUMN = "genres"  # the text column that flags make up
_REQUIRED = {"interactions": ("user", "item"), "items": ("item",)}


@dataclass(frozen=True)
class Reading:
    """One source, nothing left open.

    Attributes:
        format: Name of the format.
        container: How rows are stored.
        columns: Role to column; empty where the source has no such column.
        texts: Further columns whose texts are wanted.
        domain: Domain of all rows, where no column names it.
        delimiter: Between fields.
        quote: Around fields, or empty.
        encoding: How text is stored.
        names: Columns in the order of the fields; of objects, none.
        has_header: The first line holds names.
        time_unit: Unit of times.
        loose: Lines that are not JSON are read as Python literals.
        flags: Columns of 0 and 1 whose names make up the text column `genres`.
        longest: Bytes of a line above which it is set aside.
    """

    format: str
    container: Container
    columns: Mapping[str, str]
    texts: tuple[str, ...] = ()
    domain: str = ""
    delimiter: str = "\t"
    quote: Literal["", '"'] = ""
    encoding: Literal["utf-8", "latin-1", "cp1252"] = "utf-8"
    names: tuple[str, ...] = ()
    has_header: bool = True
    time_unit: TimeUnit = "s"
    loose: bool = False
    flags: tuple[str, ...] = ()
    longest: int = LONGEST_LINE

    @property
    def wanted(self) -> tuple[str, ...]:
        """Return the columns to read, each once."""
        return tuple(dict.fromkeys(name for name in (*self.columns.values(), *self.texts) if name))


def settle(
    source: InteractionSource | ItemSource, kind: Kind, head: Head, texts: Sequence[str], longest: int = LONGEST_LINE
) -> Reading:
    """Find out how a source is read.

    Args:
        source: What the recipe says of it.
        kind: What it holds.
        head: How it begins.
        texts: Columns whose texts modalities are made from.
        longest: Bytes of a line above which it is set aside.

    Raises:
        DataError: The format is not recognised, or could be several; a wanted column is not there, or there twice.
    """
    known = formats_of(kind)
    form = known[source.format] if source.format != SNIFF else recognise(source, kind, head)
    _check_container(form, head)
    given = {name: value for name, value in dataclasses.asdict(source.layout).items() if value is not None}
    form = dataclasses.replace(form, **given)
    names = cut_header(head, form)
    wanted = {role: column for role, column in dataclasses.asdict(source.columns).items() if column is not None}
    columns = {role: column for role, column in form.columns.items() if column in names or role in _REQUIRED[kind]}
    columns = {field.name: "" for field in dataclasses.fields(source.columns)} | columns | wanted
    reading = Reading(
        format=form.name,
        container=form.container,
        columns=columns,
        texts=tuple(dict.fromkeys(texts)),
        domain=source.domain,
        delimiter=form.delimiter,
        quote=form.quote,
        encoding=form.encoding,
        names=() if form.container == "objects" else names,
        has_header=not form.names,
        time_unit=getattr(source, "time_unit", None) or form.time_unit,
        loose=form.loose,
        flags=form.flags,
        longest=longest,
    )
    _check_columns(reading, form, names, head)
    return reading


def _check_container(form: Format, head: Head) -> None:
    """Check that a format that the recipe names stores rows as the file does."""
    how = {"parquet": "Parquet", "objects": "one object a line", "delimited": "lines of text"}[form.container]
    found = "Parquet" if head.is_parquet else f"text that begins {head.lines[0][:60]!r}" if head.lines else "no lines"
    fits = {"parquet": head.is_parquet, "objects": bool(read_objects(head)), "delimited": not head.is_parquet}
    if not fits[form.container]:
        remedy = "mend `format` of this source in the recipe, or leave it out to have it found"
        raise DataError(found, f"{how}, as format {form.name!r} has it", head.path, remedy)


def _check_columns(reading: Reading, form: Format, names: tuple[str, ...], head: Head) -> None:
    """Check that wanted columns are there once; texts of objects may be rare, and are not looked for."""
    wanted = [name for name in reading.columns.values() if name] if form.container == "objects" else reading.wanted
    for name in dict.fromkeys(wanted):
        if name == FLAGS_COLUMN and reading.flags:
            continue
        nested = name.split(".")[0] if form.container != "delimited" else name
        if names.count(name) != 1 and names.count(nested) != 1:
            times = "more than one" if name in names else "no"
            raise DataError(
                f"{times} column {name!r}; columns: {', '.join(repr(name)[:40] for name in names[:12])}",
                f"one column {name!r}, as format {form.name!r} is read",
                head.path,
                "mend `columns` or `format` of this source in the recipe; `layout` holds the delimiter, and names "
                f"without a header. Formats: {', '.join(formats_of(form.kind))}",
            )
