"""Lines to fields between delimiters."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence

import numpy as np


def cut_fields(line: str, delimiter: str, quote: str) -> list[str] | str:
    """Cut a line into fields; a string says why that is not possible."""
    if not quote or quote not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote, strict=True))
    except csv.Error as error:
        return f"quotes do not match: {error}"


def cut_lines(
    texts: Sequence[str], delimiter: str, quote: str, n_fields: int, skip: Mapping[int, str] | None = None
) -> tuple[list[np.ndarray], dict[int, str]]:
    """Cut lines into columns; regular lines, nearly all of them, go together as one long line.

    Args:
        texts: n lines without line ends.
        delimiter: Between fields.
        quote: Around fields, or empty.
        n_fields: Fields that a line must have.
        skip: Place to reason of lines that are not to be cut.

    Returns:
        `n_fields` columns of (n,) strings, and of each line that has not as many fields, or is skipped, its place and
        the reason; its fields are empty.
    """
    blank = delimiter * (n_fields - 1)
    regular = [text.count(delimiter) == n_fields - 1 and not (quote and quote in text) for text in texts]
    reasons = dict(skip or {})
    for row in reasons:
        regular[row] = False
    # Line ends between the lines: a delimiter of several characters could else begin in one and end in the next.
    joined = "\n".join(text if fits else blank for text, fits in zip(texts, regular, strict=True))
    flat = joined.replace(delimiter, "\n").split("\n")
    columns = [np.array(flat[column : len(texts) * n_fields : n_fields], dtype=object) for column in range(n_fields)]
    for row in (row for row, fits in enumerate(regular) if not fits and row not in reasons):
        fields = cut_fields(texts[row], delimiter, quote)
        if isinstance(fields, str):
            reasons[row] = fields
        elif len(fields) != n_fields:
            reasons[row] = f"{len(fields)} fields where the header has {n_fields}"
        else:
            for column, field in zip(columns, fields, strict=True):
                column[row] = field
    return columns, reasons
