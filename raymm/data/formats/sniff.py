"""The format of a file from its name and its first lines; doubt is an error that lists the candidates."""

from __future__ import annotations

import ast
import fnmatch
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from raymm.data.formats.delimited import cut_fields
from raymm.data.formats.known import INTERACTION_FORMATS, ITEM_FORMATS, Format, Kind, formats_of, generic_formats
from raymm.data.raw import read_head
from raymm.data.source import InteractionSource, ItemSource
from raymm.data.storage import file_name, open_file
from raymm.errors import DataError

HEAD_BYTES = 2**18
HEAD_LINES = 50
TYPES = ("token", "float", "token_seq", "float_seq")  # of RecBole's headers
_PARQUET = b"PAR1"
_ARRAY = re.compile(r"\s*\[\s*(\{|$)")
_DELIMITERS = ("\t", ",", ";", "|", "::")
_LIKENESS = 0.9  # share of the first lines that must look like a format without a header


@dataclass(frozen=True)
class Head:
    """How a file begins.

    Attributes:
        path: The file.
        lines: Its first whole lines, without line ends and blank ones.
        names: Its columns, if it is Parquet.
    """

    path: str
    lines: tuple[str, ...]
    names: tuple[str, ...] = ()

    @property
    def is_parquet(self) -> bool:
        """Say whether the file is Parquet."""
        return bool(self.names)

    @property
    def name(self) -> str:
        """Return the file's name in lower case, without the ending that packing gave it."""
        return file_name(self.path).lower().removesuffix(".gz")


def look(path: str) -> Head:
    """Look at the beginning of a file.

    Raises:
        DataError: It cannot be read, its first line is too long, or it is no text.
    """
    head = read_head(path, HEAD_BYTES)
    if head.startswith(_PARQUET):
        return Head(path, (), _schema_names(path))
    if not head:
        raise DataError("an empty file", "lines of text", path, "check how the file was written")
    whole, end, _ = head.rpartition(b"\n") if len(head) == HEAD_BYTES else (head, b"\n", b"")
    if not end:
        raise DataError(f"no line ends within {HEAD_BYTES:,} bytes", "lines of text", path, "check the file")
    lines = _text(whole).split("\n")
    if len(lines) <= 2 and "\r" in lines[0].rstrip("\r"):
        raise DataError("lines that end with a carriage return alone", "line feeds", path, "convert the line ends")
    return Head(path, tuple([line.removesuffix("\r") for line in lines if line.strip("\r")][:HEAD_LINES]))


def recognise(source: InteractionSource | ItemSource, kind: Kind, head: Head) -> Format:
    """Find the format of a file that the recipe does not name.

    Where the recipe names the columns of ids itself, only the way rows are stored is looked for.

    Raises:
        DataError: No format fits, or several do.
    """
    generic = {one.name: one for one in generic_formats(kind)}
    if head.is_parquet:
        return generic["parquet"]
    explicit = source.columns.item is not None or source.layout.names is not None
    if not explicit:
        fitting = _fitting(kind, head)
        if len(fitting) == 1:
            return fitting[0]
        if fitting:
            raise _doubt(head, kind, f"a file that could be {' or '.join(repr(one.name) for one in fitting)}")
    if head.lines and _ARRAY.match(head.lines[0]) and source.layout.delimiter is None:
        raise _doubt(head, kind, "a JSON array in one piece, where one object a line is expected (JSON lines)")
    if head.lines and head.lines[0].startswith("{"):
        return generic["literals" if read_objects(head) and not any(map(_is_json, head.lines)) else "jsonl"]
    named = [one for one in generic.values() if one.container == "delimited" and _is_named(one, head)]
    if named:
        return named[0]
    if source.layout.delimiter is not None:
        return generic["tsv"]
    return _guess_delimiter(source, kind, head, generic)


def cut_header(head: Head, form: Format) -> tuple[str, ...]:
    """Return the names of a file's columns, or the keys of its first objects."""
    if form.container == "parquet":
        return head.names
    if form.container == "objects":
        return tuple(dict.fromkeys(key for found in read_objects(head) for key in found))
    if form.names or not head.lines:
        return form.names
    fields = _fields(head.lines[0], form)
    return tuple(field.rsplit(":", 1)[0] for field in fields) if form.typed else tuple(fields)


def read_objects(head: Head) -> list[dict[str, Any]]:
    """Read the objects among a file's first lines: JSON, or Python literals of which nothing is run."""
    found = []
    for line in head.lines:
        try:
            value = json.loads(line) if _is_json(line) else ast.literal_eval(line)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append({str(key): entry for key, entry in value.items()})
    return found


def _fitting(kind: Kind, head: Head) -> list[Format]:
    known = INTERACTION_FORMATS if kind == "interactions" else ITEM_FORMATS
    fitting = [one for one in known if _fits(one, head)]
    named = [one for one in fitting if _is_named(one, head)]
    return named if len(named) == 1 else fitting


def _fits(form: Format, head: Head) -> bool:
    if form.container == "delimited" and form.names:
        return _looks_like(form, head.lines)
    if form.typed and not _has_types(form, head):
        return False
    names = set(cut_header(head, form))
    return (
        names.issuperset(form.wants)
        and names.isdisjoint(form.lacks)
        and (not form.wants_any or not names.isdisjoint(form.wants_any))
    )


def _looks_like(form: Format, lines: Sequence[str]) -> bool:
    patterns = [re.compile(pattern) for pattern in form.patterns]
    alike = 0
    for line in lines:
        fields = line.split(form.delimiter)
        alike += len(fields) == len(patterns) and all(
            pattern.fullmatch(field) for pattern, field in zip(patterns, fields, strict=True)
        )
    return bool(lines) and alike >= _LIKENESS * len(lines)


def _has_types(form: Format, head: Head) -> bool:
    fields = _fields(head.lines[0], form) if head.lines else []
    return bool(fields) and all(field.rpartition(":")[2] in TYPES and ":" in field for field in fields)


def _guess_delimiter(
    source: InteractionSource | ItemSource, kind: Kind, head: Head, generic: dict[str, Format]
) -> Format:
    """Take the one delimiter that cuts all first lines into the same number of fields, two or more."""
    ids = [getattr(source.columns, role, None) or role for role in ("user", "item") if hasattr(source.columns, role)]
    even = []
    for delimiter in _DELIMITERS:
        counts = {line.count(delimiter) for line in head.lines}
        if len(counts) == 1 and counts != {0}:
            even.append(delimiter)
    holding = [one for one in even if set(head.lines[0].split(one)).issuperset(ids)]
    chosen = holding or even
    if len(chosen) != 1 or (not holding and source.columns.item is None and source.layout.names is None):
        raise _doubt(head, kind, f"a file of no known format; it begins {head.lines[0][:60]!r}" if head.lines else "")
    base = generic["csv"] if chosen[0] in (",", ";") else generic["tsv"]
    values = {name: getattr(base, name) for name in ("name", "kind", "container", "columns", "quote")}
    return Format(**{**values, "delimiter": chosen[0], "name": "delimited" if chosen[0] not in "\t," else base.name})


def _doubt(head: Head, kind: Kind, found: str) -> DataError:
    return DataError(
        found or "a file without lines",
        f"one of {', '.join(formats_of(kind))}",
        head.path,
        "set `format` of this source in the recipe, or name its `columns` (and `layout`, where it is text)",
    )


def _is_named(form: Format, head: Head) -> bool:
    return any(fnmatch.fnmatchcase(head.name, pattern) for pattern in form.file_names)


def _fields(line: str, form: Format) -> list[str]:
    fields = cut_fields(line, form.delimiter, form.quote)
    return fields if isinstance(fields, list) else [line]


def _is_json(line: str) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _schema_names(path: str) -> tuple[str, ...]:
    try:
        with open_file(path) as stream:
            return tuple(pq.ParquetFile(stream).schema_arrow.names)
    except (OSError, pa.ArrowException) as error:
        raise DataError(
            f"a Parquet file that cannot be read: {error}", "Parquet", path, "restore the file from its origin"
        ) from error


def _text(head: bytes) -> str:
    try:
        return head.decode("utf-8")
    except UnicodeDecodeError:
        return head.decode("latin-1")
