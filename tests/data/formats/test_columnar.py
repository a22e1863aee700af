from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.formats import columnar
from raymm.data.formats.columnar import count_rows, cut_row_groups, read_batches
from raymm.errors import DataError


def test_pieces_of_row_groups_hold_each_row_once(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.parquet")
    pq.write_table(pa.table({"user": [f"u{n}" for n in range(1_000)], "n": np.arange(1_000)}), path, row_group_size=64)
    for piece_bytes in (1, 2_000, 10**9):
        pieces = cut_row_groups(0, path, piece_bytes)
        found: list[int] = []
        for piece in pieces:
            before = len(found)
            for fields in read_batches(piece, ["user", "n"]):
                assert fields.lines.tolist() == list(range(len(found) - before, len(found) - before + len(fields)))
                found.extend(fields.columns["n"].tolist())
            assert count_rows(piece) == len(found) - before
        assert found == list(range(1_000))
    assert len(cut_row_groups(0, path, 1)) == 16


def test_large_row_group_is_read_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(columnar, "BATCH_ROWS", 100)
    path = str(tmp_path / "rows.parquet")
    pq.write_table(pa.table({"user": ["u"] * 250}), path)
    (piece,) = cut_row_groups(0, path, 1)
    assert [len(fields) for fields in read_batches(piece, ["user"])] == [100, 100, 50]


def test_types_of_columns_become_text_and_numbers(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.parquet")
    when = datetime.datetime(2020, 1, 2, tzinfo=datetime.UTC)
    table = pa.table(
        {
            "text": ["a", None],
            "coded": pa.array(["x", "y"]).dictionary_encode(),
            "whole": [1, None],
            "when": pa.array([when, None]),
            "day": pa.array([datetime.date(1970, 1, 2), None]),
            "list": [["a", "b"], []],
            "nested": [{"id": 5, "more": {"deep": "z"}}, None],
        }
    )
    pq.write_table(table, path)
    (piece,) = cut_row_groups(0, path, 10**6)
    names = ["text", "coded", "whole", "when", "day", "list", "nested.id", "nested.more.deep"]
    (fields,) = read_batches(piece, names)
    assert [fields.columns[name].tolist() for name in names] == [
        ["a", ""],
        ["x", "y"],
        [1, ""],
        [when.timestamp(), ""],
        [86_400.0, ""],
        ["a b", ""],
        [5, ""],
        ["z", ""],
    ]
    assert "'text': 'a'" in fields.show(0)


def test_parquet_without_rows_is_an_error(tmp_path: Path) -> None:
    path = str(tmp_path / "rows.parquet")
    pq.write_table(pa.table({"user": pa.array([], pa.string())}), path)
    with pytest.raises(DataError, match="without rows"):
        cut_row_groups(0, path, 1)
