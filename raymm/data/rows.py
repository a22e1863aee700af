"""Fields to typed rows; what cannot be a row is set aside with a reason, never lost in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raymm.data.formats.fields import Fields, objects
from raymm.data.formats.known import TimeUnit
from raymm.data.formats.reading import Reading
from raymm.data.recipe import Recipe

LONGEST_TEXT = 500  # characters of a malformed line that are kept to show it
LABELS = (0, 1, 2)  # training, validation, test of a given split
PER_SECOND: dict[TimeUnit, float] = {"s": 1.0, "ms": 1e3, "us": 1e6, "ns": 1e9}
LARGEST_WHOLE = 2.0**53  # whole numbers up to here have a float of their own


class Fate(IntEnum):
    """What became of a line."""

    TAKEN = 0
    OTHER_DOMAIN = 1
    LOW_RATING = 2
    MALFORMED = 3
    UNREADABLE = 4


_ORIGIN = [
    ("source", pa.int32()),
    ("piece", pa.int32()),
    ("line", pa.int64()),
    ("fate", pa.int8()),
    ("reason", pa.string()),
    ("text", pa.string()),
]
INTERACTIONS = pa.schema(
    [
        ("domain", pa.int8()),
        ("user", pa.string()),
        ("item", pa.string()),
        ("rating", pa.float32()),
        ("time", pa.int64()),
        ("key", pa.int64()),
        ("label", pa.int8()),
        *_ORIGIN,
    ]
)


def item_schema(recipe: Recipe) -> pa.Schema:
    """Return the schema of item rows: ids, title, and one text column for each modality."""
    texts = [(modality_column(modality.name), pa.string()) for modality in recipe.features]
    return pa.schema([("domain", pa.int8()), ("item", pa.string()), ("title", pa.string()), *texts, *_ORIGIN])


def modality_column(modality: str) -> str:
    """Name the column of item rows that holds the text of a modality."""
    return f"text of {modality}"


def interaction_rows(fields: Fields, recipe: Recipe, reading: Reading, source: int, piece: int) -> pa.Table:
    """Turn fields into interactions.

    Args:
        fields: Rows of one piece, by column.
        recipe: The recipe.
        reading: How the source is read.
        source: Number of the source in the recipe.
        piece: Number of the piece, counted over all sources.

    Returns:
        `INTERACTIONS`, one row for each of `fields`. `key` orders a user's history; equal keys are ordered by piece and
        line. Rating, time and label (the part of a given split) are null where the file has none.
    """
    columns, cleaning = reading.columns, recipe.cleaning
    sheet = _Sheet(fields)
    domains = sheet.domains(recipe.domains, reading)
    users, items = sheet.ids(columns["user"], "user"), sheet.ids(columns["item"], "item")
    ratings, rated = sheet.numbers(columns["rating"], "rating")
    times, timed = sheet.numbers(columns["time"], "time")
    times = times / PER_SECOND[reading.time_unit]
    late = f"time out of range: {reading.time_unit} since 1970, at most cleaning.latest_time, are expected"
    sheet.refuse(timed & ((times < 0) | (times > cleaning.latest_time)), late)
    orders, ordered = sheet.numbers(columns["order"], "order")
    sheet.refuse(ordered & ((orders != np.floor(orders)) | (abs(orders) > LARGEST_WHOLE)), "order is no whole number")
    labels, labelled = sheet.numbers(columns["label"], "label")
    sheet.refuse(labelled & ~np.isin(labels, LABELS), "label is neither 0, 1 nor 2")
    by = recipe.split.by or "line"
    keys, keyed = {"order": (orders, ordered), "time": (times, timed)}.get(
        by, (np.zeros(len(fields)), np.ones(len(fields), dtype=bool))
    )
    sheet.refuse(~keyed, f"no {by}")
    if cleaning.min_rating is not None:
        sheet.refuse(~rated, "no rating")
        sheet.leave_out(ratings < cleaning.min_rating, Fate.LOW_RATING)
    taken = sheet.taken
    values = {
        "domain": domains,
        "user": users,
        "item": items,
        "rating": pa.array(ratings, mask=~(rated & taken)),
        "time": pa.array(_whole(times, timed & taken), mask=~(timed & taken)),
        "key": _whole(keys, keyed & taken),
        "label": pa.array(_whole(labels, labelled & taken), mask=~(labelled & taken)),
    }
    return sheet.table(values, INTERACTIONS, source, piece)


def item_rows(fields: Fields, recipe: Recipe, reading: Reading, source: int, piece: int) -> pa.Table:
    """Turn fields into items; arguments as in `interaction_rows`.

    Returns:
        `item_schema(recipe)`, one row for each of `fields`; texts as they stand in the file, empty for a modality that
        names no column.
    """
    sheet = _Sheet(fields)
    domains = sheet.domains(recipe.domains, reading)
    items = sheet.ids(reading.columns["item"], "item")
    texts = {modality_column(modality.name): sheet.texts(modality.column) for modality in recipe.features}
    values = {"domain": domains, "item": items, "title": sheet.texts(reading.columns["title"]), **texts}
    return sheet.table(values, item_schema(recipe), source, piece)


def unreadable_row(schema: pa.Schema, source: int, piece: int, reason: str) -> pa.Table:
    """Return the one row that stands for a file that could not be read to its end."""
    values = {"source": source, "piece": piece, "line": 0, "fate": int(Fate.UNREADABLE), "reason": reason}
    return pa.table({name: [values.get(name)] for name in schema.names}, schema=schema)


class _Sheet:
    """Fields, and the fate of each row."""

    def __init__(self, fields: Fields) -> None:
        self._fields = fields
        self._reasons = np.full(len(fields), "", dtype=object)
        self._fates = np.full(len(fields), int(Fate.TAKEN), dtype=np.int8)
        for row, reason in fields.reasons.items():
            self._reasons[row], self._fates[row] = reason, int(Fate.MALFORMED)

    @property
    def taken(self) -> np.ndarray:
        taken: np.ndarray = self._fates == Fate.TAKEN
        return taken

    def texts(self, column: str) -> np.ndarray:
        """Return the (n,) strings of a column, empty for a column without a name."""
        if not column:
            return np.full(len(self._fields), "", dtype=object)
        values = self._fields.columns[column]
        if self._fields.plain:
            return values
        if not all(type(value) is str for value in values):
            values = objects([value if type(value) is str else str(value) for value in values])
        try:
            "".join(values).encode()
        except UnicodeEncodeError:  # half a pair of surrogates, which JSON can write down
            values = objects([value.encode("utf-8", "replace").decode() for value in values])
        return values

    def ids(self, column: str, what: str) -> np.ndarray:
        """Return the (n,) strings of a column of ids; refuse what is empty or no text."""
        values = self.texts(column)
        if not self._fields.plain:
            fractions = [type(value) is float for value in self._fields.columns[column]]
            self.refuse(np.array(fractions, dtype=bool), f"{what} id is a fraction: text or whole numbers are expected")
            self.refuse(np.array(["\0" in value for value in values], dtype=bool), f"{what} id with a NUL character")
        self.refuse(values == "", f"no {what} id")
        return values

    def numbers(self, column: str, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) float64 of a column and whether there is one; refuse what is no finite number."""
        if not column:
            return np.zeros(len(self._fields)), np.zeros(len(self._fields), dtype=bool)
        values = self._fields.columns[column]
        numbers = np.array(pd.to_numeric(pd.Series(values, dtype=object), errors="coerce"), dtype=np.float64)
        given, finite = values != "", np.isfinite(numbers)
        self.refuse(given & ~finite, f"{what} is no finite number")
        return np.where(finite, numbers, 0.0), given & finite

    def domains(self, known: Sequence[str], reading: Reading) -> np.ndarray:
        """Return the (n,) numbers of domains; leave out rows of other domains."""
        column = reading.columns["domain"]
        names = self.texts(column) if column else np.full(len(self._fields), reading.domain, dtype=object)
        numbers = np.full(len(self._fields), -1, dtype=np.int8)
        for number, name in enumerate(known):
            numbers[names == name] = number
        self.refuse(names == "", "no domain")
        self.leave_out(numbers < 0, Fate.OTHER_DOMAIN)
        return numbers

    def refuse(self, rows: np.ndarray, reason: str) -> None:
        """Set rows aside, unless something was said of them before."""
        rows = rows & self.taken
        self._reasons[rows] = reason
        self._fates[rows] = Fate.MALFORMED

    def leave_out(self, rows: np.ndarray, fate: Fate) -> None:
        """Leave rows out that are well-formed but not wanted."""
        self._fates[rows & self.taken] = fate

    def table(
        self, values: Mapping[str, np.ndarray | pa.Array], schema: pa.Schema, source: int, piece: int
    ) -> pa.Table:
        texts = objects([None] * len(self._fields))
        for row in np.flatnonzero(self._fates == Fate.MALFORMED):
            texts[row] = self._fields.show(int(row))[:LONGEST_TEXT].encode("utf-8", "replace").decode()
        origin = {
            "source": np.full(len(self._fields), source),
            "piece": np.full(len(self._fields), piece),
            "line": self._fields.lines,
            "fate": self._fates,
            "reason": [reason or None for reason in self._reasons],
            "text": texts,
        }
        columns = {**values, **origin}
        return pa.table([_arrow(columns[field.name], field.type) for field in schema], schema=schema)


def _arrow(values: Any, kind: pa.DataType) -> pa.Array:
    return values.cast(kind) if isinstance(values, pa.Array) else pa.array(values, type=kind)


def _whole(numbers: np.ndarray, valid: np.ndarray) -> np.ndarray:
    return np.where(valid, np.floor(numbers), 0.0).astype(np.int64)
