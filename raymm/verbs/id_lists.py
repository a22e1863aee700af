"""Lists of external ids in a file: Parquet, CSV, or one id a line."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pandas as pd

from raymm.data.ids import id_lines
from raymm.errors import DataError

KINDS = (".parquet", ".csv", ".txt")


def read_users(path: Path) -> pd.DataFrame:
    """Read the users to rank for.

    Args:
        path: `.parquet` or `.csv` with a column `user` and, if wanted, `domain` (empty: all domains), or `.txt` with
            one id a line. Ids are read as texts, leading zeros included; whole numbers in Parquet become texts.

    Returns:
        Columns `user` and `domain` (empty where none was given), each pair once, in the order of the file.

    Raises:
        DataError: The file is missing, of another kind, unreadable, empty, or a row has no id.
    """
    table = _read(path, "user", ("domain",))
    if "domain" not in table:
        table["domain"] = ""
    table["domain"] = table["domain"].astype(object).fillna("").astype(str)
    table["user"] = _texts(table["user"], path, "user")
    return table.drop_duplicates(ignore_index=True)


def read_items(path: Path) -> tuple[str, ...]:
    """Read a list of items: `.parquet` or `.csv` with a column `item`, or `.txt` with one id a line.

    Raises:
        DataError: As `read_users`.
    """
    ids = _texts(_read(path, "item", ())["item"], path, "item")
    return tuple(dict.fromkeys(ids))


def _read(path: Path, wanted: str, more: tuple[str, ...]) -> pd.DataFrame:
    if path.suffix not in KINDS:
        raise DataError(f"a file of kind {path.suffix!r}", "one of " + ", ".join(KINDS), str(path), "convert it")
    if not path.is_file():
        raise DataError("no such file", f"a list of {wanted}s", str(path), "check the path")
    try:
        if path.suffix == ".txt":
            lines = id_lines(path.read_bytes().decode("utf-8-sig"))
            table = pd.DataFrame({wanted: np.array([line.strip() for line in lines], dtype=object)})
            table = table[table[wanted] != ""].reset_index(drop=True)
        elif path.suffix == ".csv":
            table = _read_csv(path)
        else:
            table = pd.read_parquet(path)
    except (OSError, ValueError, csv.Error) as error:
        remedy = "write it as UTF-8, CSV with equally many fields in each row, Parquet as Parquet writers do"
        reason = str(error).partition("\n")[0]
        raise DataError(f"unreadable: {reason}", f"a list of {wanted}s", str(path), remedy) from error
    names = [str(name) for name in table.columns]
    if wanted not in names or not set(names) <= {wanted, *more} or len(set(names)) < len(names):
        expected = f"{wanted!r}" + "".join(f", and optionally {name!r}" for name in more)
        raise DataError(f"columns {names}", expected, str(path), "rename or drop the others")
    if not len(table):
        raise DataError("no rows", f"at least one {wanted}", str(path), "leave the file out to take all of them")
    return table


def _read_csv(path: Path) -> pd.DataFrame:
    """Read a table of texts; a row with more or fewer fields than the header is an error, and no row has an index."""
    with path.open(encoding="utf-8-sig", newline="") as stream:
        rows = [row for row in csv.reader(stream, strict=True) if row]
    if not rows:
        raise ValueError("an empty file")
    for number, row in enumerate(rows[1:], start=1):
        if len(row) != len(rows[0]):
            raise ValueError(f"{len(row)} fields in row {number}, where the header has {len(rows[0])}")
    return pd.DataFrame(np.array(rows[1:], dtype=object).reshape(-1, len(rows[0])), columns=rows[0])


def _texts(column: pd.Series, path: Path, name: str) -> np.ndarray:
    values = column.to_numpy(dtype=object)
    texts = np.array([str(v) if isinstance(v, int | np.integer) else v for v in values], dtype=object)
    wrong = [row for row, text in enumerate(texts) if not isinstance(text, str) or not text]
    if wrong:
        raise DataError(
            f"{values[wrong[0]]!r} in row {wrong[0] + 1}" + (f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""),
            "ids as texts or whole numbers",
            f"column {name!r} of {path}",
            "drop these rows",
        )
    return texts
