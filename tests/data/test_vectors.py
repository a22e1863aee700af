from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.vectors import VectorFile, find_rows, ids_beside, read_vectors
from raymm.errors import DataError

IDS = ["b", "7", "été", "x y"]
VALUES = np.arange(12, dtype=np.float32).reshape(4, 3)


class Opened:
    """Leaves a mark when it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[Path]]:
        return Path.touch, (self.mark,)


def write(folder: Path, kind: str, ids: list[str] | None = IDS, values: np.ndarray = VALUES) -> Path:
    path = folder / f"vectors.{kind}"
    if kind == "npy":
        np.save(path, values)
        if ids is not None:
            (folder / "vectors.ids.txt").write_text("\n".join(ids) + "\n", encoding="utf-8")
    elif kind == "npz":
        np.savez(path, vectors=values, **({} if ids is None else {"ids": np.array(ids)}))
    else:
        pq.write_table(pa.table({"id": ids, "vector": list(values)}), path)
    return path


@pytest.mark.parametrize("kind", ["npy", "npz", "parquet"])
def test_every_format_finds_each_item_by_its_id(tmp_path: Path, kind: str) -> None:
    file = read_vectors(write(tmp_path, kind))
    rows, unused = find_rows(file, pa.array(["été", "nobody", "b"]))
    assert rows.tolist() == [2, -1, 0]
    assert unused == 2
    np.testing.assert_array_equal(file.values[rows[[0, 2]]], VALUES[[2, 0]])


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_without_ids_rows_go_by_their_number(tmp_path: Path, kind: str) -> None:
    file = read_vectors(write(tmp_path, kind, ids=None))
    rows, unused = find_rows(file, pa.array(["3", "0"]))
    assert (rows.tolist(), unused) == ([3, 0], 2)
    for wrong in ("4", "-1", "a", "01", "٣", ""):
        with pytest.raises(DataError, match=r"(?s)1 item ids that are no row number.*ids 0 to 3"):
            find_rows(file, pa.array(["1", wrong]))


def test_an_npy_file_is_mapped_not_read(tmp_path: Path) -> None:
    path = write(tmp_path, "npy", ids=None, values=VALUES.astype(np.float16))
    values = read_vectors(path).values
    assert isinstance(values, np.memmap)
    assert values.dtype == np.float16
    assert ids_beside(path) is None


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_nothing_is_unpickled(tmp_path: Path, kind: str) -> None:
    path, mark = tmp_path / f"evil.{kind}", tmp_path / "mark"
    evil = np.array([Opened(mark)], dtype=object)
    if kind == "npy":
        np.save(path, evil, allow_pickle=True)
    else:
        np.savez(path, vectors=evil)
    with pytest.raises(DataError, match="not readable"):
        read_vectors(path)
    assert not mark.exists()
    np.load(path, allow_pickle=True)["vectors"] if kind == "npz" else np.load(path, allow_pickle=True)
    assert mark.exists()  # the file was a loaded gun


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PAR1", b"PK\x03\x04", b"text\n" * 9])
@pytest.mark.parametrize("kind", ["npy", "npz", "parquet"])
def test_a_damaged_file_is_an_error(tmp_path: Path, kind: str, content: bytes) -> None:
    path = tmp_path / f"vectors.{kind}"
    path.write_bytes(content)
    with pytest.raises(DataError, match="not readable"):
        read_vectors(path)


@pytest.mark.parametrize("kind", ["npy", "npz", "parquet"])
def test_a_truncated_file_is_an_error(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, kind)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="not readable"):
        read_vectors(path)


@pytest.mark.parametrize("kind", ["npy", "npz", "parquet"])
@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (["a", "b", "a", "b"], r"2 ids more than once: \['a', 'b'\]"),
        (["a", "b", "", "d"], "1 empty ids"),
        (["a", "b", " ", "d"], "1 empty ids"),
    ],
)
def test_ids_that_are_no_ids_are_an_error(tmp_path: Path, kind: str, ids: list[str], message: str) -> None:
    with pytest.raises(DataError, match=message):
        read_vectors(write(tmp_path, kind, ids))


@pytest.mark.parametrize("kind", ["npy", "npz"])
def test_another_number_of_ids_is_an_error(tmp_path: Path, kind: str) -> None:
    with pytest.raises(DataError, match=r"(?s)4, as there are vectors"):
        read_vectors(write(tmp_path, kind, IDS[:3]))


@pytest.mark.parametrize(
    "values", [np.zeros(3), np.zeros((2, 2, 2)), np.array([["a"]]), np.zeros((0, 3)), np.ones((2, 2)) > 0, 1j * VALUES]
)
def test_an_array_of_something_else_is_an_error(tmp_path: Path, values: np.ndarray) -> None:
    with pytest.raises(DataError, match=r"(?s)expected: \(items, columns\) of numbers"):
        read_vectors(write(tmp_path, "npy", None, values))


def test_parquet_lists_of_several_lengths_name_their_items(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    pq.write_table(pa.table({"id": [1, 2, 3, 4], "v": [[1.0, 2.0], [3.0], None, [4.0, 5.0]]}), path)
    with pytest.raises(DataError, match=r"(?s)2 lists of another length, or none: \['2', '3'\].*2 numbers each"):
        read_vectors(path)


def test_parquet_columns_go_by_name_and_missing_numbers_become_nan(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    table = pa.table({"asin": [5, 6], "v": [[1.0, None], [3.0, 4.0]], "w": [[1, 2, 3], [4, 5, 6]]})
    pq.write_table(table, path)
    np.testing.assert_array_equal(read_vectors(path, "asin", "v").values, [[1.0, np.nan], [3.0, 4.0]])
    whole = read_vectors(path, "asin", "w")
    assert isinstance(whole, VectorFile)
    assert whole.values.tolist() == [[1, 2, 3], [4, 5, 6]]
    for columns in (("asin", ""), ("id", "v"), ("asin", "x")):
        with pytest.raises(DataError, match="name them by `id_column` and `vector_column`"):
            read_vectors(path, *columns)
    with pytest.raises(DataError, match="strings or whole numbers"):
        read_vectors(path, "w", "asin")
    pq.write_table(pa.table({"id": [1], "v": ["text"]}), path)
    with pytest.raises(DataError, match="lists of numbers"):
        read_vectors(path)


def test_another_ending_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"\.npy, \.npz or \.parquet"):
        read_vectors(tmp_path / "vectors.csv")
