"""Fields to typed rows; what cannot be a row is set aside with a reason, never lost in silence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from raymm.data.raw import Lines, cut_lines
from raymm.data.recipe import InteractionSource, ItemSource, Layout, Recipe

LONGEST_TEXT = 500  # characters of a malformed line that are kept to show it
LATEST_TIME = 2.0**37  # s, in the year 6325: above it, times are in milliseconds
LABELS = (0, 1, 2)  # training, validation, test of a given split
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


def interaction_rows(
    lines: Lines, recipe: Recipe, source: int, names: Sequence[str], piece: int, header: bool
) -> pa.Table:
    """Turn lines into interactions.

    Args:
        lines: Lines of one piece.
        recipe: The recipe.
        source: Number of the source in the recipe.
        names: Names of the file's columns.
        piece: Number of the piece, counted over all sources.
        header: The piece begins with a header line.

    Returns:
        `INTERACTIONS`, one row for each line that is not blank. `key` orders a user's history; equal keys are
        ordered by piece and line. Rating, time and label (the part of a given split) are null where the file has none.
    """
    settings: InteractionSource = recipe.interactions[source]
    columns = settings.columns
    sheet = _Sheet(lines, settings.layout, names, header)
    domains = sheet.domains(recipe.domains, settings.domain, columns.domain)
    for name, column in (("user", columns.user), ("item", columns.item)):
        sheet.refuse(sheet.values(column) == "", f"no {name} id")
    ratings, rated = sheet.numbers(columns.rating, "rating")
    times, timed = sheet.numbers(columns.time, "time")
    sheet.refuse(timed & ((times < 0) | (times > LATEST_TIME)), "time out of range: seconds since 1970 are expected")
    orders, ordered = sheet.numbers(columns.order, "order")
    sheet.refuse(ordered & ((orders != np.floor(orders)) | (abs(orders) > LARGEST_WHOLE)), "order is no whole number")
    labels, labelled = sheet.numbers(columns.label, "label")
    sheet.refuse(labelled & ~np.isin(labels, LABELS), "label is neither 0, 1 nor 2")
    keys, keyed = {"order": (orders, ordered), "time": (times, timed)}.get(
        recipe.split.by, (np.zeros(len(sheet)), np.ones(len(sheet), dtype=bool))
    )
    sheet.refuse(~keyed, f"no {recipe.split.by}")
    least = recipe.cleaning.min_rating
    if least is not None:
        sheet.refuse(~rated, "no rating")
        sheet.leave_out(ratings < least, Fate.LOW_RATING)
    taken = sheet.taken
    values = {
        "domain": domains,
        "user": sheet.values(columns.user),
        "item": sheet.values(columns.item),
        "rating": pa.array(ratings, mask=~(rated & taken)),
        "time": pa.array(_whole(times, timed & taken), mask=~(timed & taken)),
        "key": _whole(keys, keyed & taken),
        "label": pa.array(_whole(labels, labelled & taken), mask=~(labelled & taken)),
    }
    return sheet.table(values, INTERACTIONS, source, piece)


def item_rows(lines: Lines, recipe: Recipe, source: int, names: Sequence[str], piece: int, header: bool) -> pa.Table:
    """Turn lines into items; arguments and rule as in `interaction_rows`.

    Returns:
        `item_schema(recipe)`, one row for each line that is not blank; texts as they stand in the file.
    """
    settings: ItemSource = recipe.items[source]
    columns = settings.columns
    sheet = _Sheet(lines, settings.layout, names, header)
    domains = sheet.domains(recipe.domains, settings.domain, columns.domain)
    sheet.refuse(sheet.values(columns.item) == "", "no item id")
    texts = {modality_column(modality.name): sheet.values(modality.column) for modality in recipe.features}
    values = {
        "domain": domains,
        "item": sheet.values(columns.item),
        "title": sheet.values(columns.title),
        **texts,
    }
    return sheet.table(values, item_schema(recipe), source, piece)


def unreadable_row(schema: pa.Schema, source: int, piece: int, reason: str) -> pa.Table:
    """Return the one row that stands for a file that could not be read to its end."""
    values = {"source": source, "piece": piece, "line": 0, "fate": int(Fate.UNREADABLE), "reason": reason}
    return pa.table({name: [values.get(name)] for name in schema.names}, schema=schema)


class _Sheet:
    """The fields of some lines by column, and the fate of each line."""

    def __init__(self, lines: Lines, layout: Layout, names: Sequence[str], header: bool) -> None:
        skipped = 1 if header and lines.first == 0 else 0
        places = [place for place, text in enumerate(lines.texts) if text and place >= skipped]
        texts = [lines.texts[place] for place in places]
        columns, irregular = cut_lines(texts, layout, len(names))
        self._columns = dict(zip(names, columns, strict=True))
        self._reasons = np.full(len(texts), "", dtype=object)
        self._fates = np.full(len(texts), int(Fate.TAKEN), dtype=np.int8)
        self._lines = np.array(places, dtype=np.int64) + lines.first
        self._texts = texts
        undecodable = np.isin(places, list(lines.undecodable))
        self.refuse(undecodable, "bytes that the encoding does not have")
        for row, reason in irregular.items():
            if self._fates[row] == Fate.TAKEN:
                self._reasons[row], self._fates[row] = reason, int(Fate.MALFORMED)

    def __len__(self) -> int:
        return len(self._lines)

    @property
    def taken(self) -> np.ndarray:
        taken: np.ndarray = self._fates == Fate.TAKEN
        return taken

    def values(self, column: str) -> np.ndarray:
        """Return the (n,) strings of a column, empty for a column without a name."""
        return self._columns[column] if column else np.full(len(self), "", dtype=object)

    def numbers(self, column: str, what: str) -> tuple[np.ndarray, np.ndarray]:
        """Return the (n,) float64 of a column and whether there is one; refuse what is no finite number."""
        texts = self.values(column)
        numbers = np.array(pd.to_numeric(pd.Series(texts, dtype=object), errors="coerce"), dtype=np.float64)
        given, finite = texts != "", np.isfinite(numbers)
        self.refuse(given & ~finite, f"{what} is no finite number")
        return np.where(finite, numbers, 0.0), given & finite

    def domains(self, known: Sequence[str], constant: str, column: str) -> np.ndarray:
        """Return the (n,) numbers of domains; leave out rows of other domains."""
        names = self.values(column) if column else np.full(len(self), constant, dtype=object)
        numbers = np.full(len(self), -1, dtype=np.int8)
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
        malformed = self._fates == Fate.MALFORMED
        texts = [text[:LONGEST_TEXT] if bad else None for text, bad in zip(self._texts, malformed, strict=True)]
        origin = {
            "source": np.full(len(self), source),
            "piece": np.full(len(self), piece),
            "line": self._lines,
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
