"""Some rows of a source by column, before anything is known of their types."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from raymm.data.raw import Lines

UNDECODABLE = "bytes that the encoding does not have"


@dataclass(frozen=True, eq=False)
class Fields:
    """Consecutive rows of a piece by column.

    Attributes:
        columns: Column to (n,) objects: strings, empty for what is missing, or Python numbers.
        lines: (n,) int64, place of each row within its piece, from 0.
        reasons: Place in the columns to what is wrong with a row; its fields are empty.
        show: Place in the columns to the row as it stands in the file.
        plain: All values are strings that were cut from decoded lines: nothing else needs to be looked for.
    """

    columns: Mapping[str, np.ndarray]
    lines: np.ndarray
    reasons: Mapping[int, str]
    show: Callable[[int], str]
    plain: bool = False

    def __len__(self) -> int:
        return len(self.lines)


def pick_lines(lines: Lines, skipped: int) -> tuple[np.ndarray, list[str], dict[int, str]]:
    """Pick the lines that are rows: neither blank nor among the first `skipped`.

    Returns:
        Places of n lines within the piece, the lines, and of each that cannot be cut its place among them and why.
    """
    places = [place for place, text in enumerate(lines.texts) if text and place >= skipped]
    texts = [lines.texts[place] for place in places]
    reasons = {}
    for row, place in enumerate(places if lines.undecodable or lines.too_long else ()):
        if place in lines.too_long:
            reasons[row] = f"a line of {lines.too_long[place]:,} bytes"
        elif place in lines.undecodable:
            reasons[row] = UNDECODABLE
    for row in _with_nul(texts):
        reasons.setdefault(row, "a NUL byte")
    return np.array(places, dtype=np.int64) + lines.first, texts, reasons


def objects(values: Sequence[object]) -> np.ndarray:
    """Return (n,) objects; NumPy never looks into them."""
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array


def _with_nul(texts: Sequence[str]) -> list[int]:
    if "\0" not in "".join(texts):
        return []
    return [row for row, text in enumerate(texts) if "\0" in text]
