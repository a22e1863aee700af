from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.data.embeddings import read_embeddings, read_pairs
from raymm.errors import DataError

VECTORS = np.random.default_rng(0).normal(size=(6, 3))
IDS = [f"u{row}" for row in range(6)]


def lists(folder: Path, rows: list[object] | None = None, ids: list[object] | None = None, name: str = "a") -> Path:
    rows = list(VECTORS.tolist()) if rows is None else rows
    path = folder / f"{name}.parquet"
    pq.write_table(pa.table({"id": IDS if ids is None else ids, "vector": rows}), path)
    return path


def changed(row: int, value: object) -> list[object]:
    return [value if place == row else vector for place, vector in enumerate(VECTORS.tolist())]


@pytest.mark.parametrize("kind", [pa.list_(pa.float64()), pa.large_list(pa.float32()), pa.list_(pa.float32(), 3)])
def test_lists_of_any_kind_are_read(tmp_path: Path, kind: pa.DataType) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"v": pa.array(VECTORS.tolist(), kind), "id": IDS}), path, row_group_size=2)
    found = read_embeddings(path)
    assert found.ids.to_pylist() == IDS
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, VECTORS.astype(np.float32))


def test_columns_of_numbers_are_read_in_the_order_of_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    columns = {"z": VECTORS[:, 0], "who": np.arange(6), "a": VECTORS[:, 1].astype(np.float32), "m": np.arange(1, 7)}
    pq.write_table(pa.table(columns), path)
    found = read_embeddings(path, "who")
    assert found.ids.to_pylist() == ["0", "1", "2", "3", "4", "5"]
    np.testing.assert_allclose(found.vectors, np.column_stack([VECTORS[:, :2], np.arange(1, 7)]), rtol=1e-6)


def test_a_folder_of_files_is_read_in_order_and_other_bytes_have_another_fingerprint(tmp_path: Path) -> None:
    (tmp_path / "many").mkdir()
    for part, rows in enumerate((slice(0, 4), slice(4, 6))):
        table = pa.table({"id": IDS[rows], "v": VECTORS[rows].tolist()})
        pq.write_table(table, tmp_path / "many" / f"part-{part}.parquet")
    many, one = read_embeddings(tmp_path / "many"), read_embeddings(lists(tmp_path))
    assert many.ids.equals(one.ids)
    np.testing.assert_array_equal(many.vectors, one.vectors)
    assert (
        len({many.fingerprint, one.fingerprint, read_embeddings(lists(tmp_path, changed(0, [1, 2, 3]))).fingerprint})
        == 3
    )


def test_arrays_of_numpy_have_ids_beside_them_or_row_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", VECTORS.astype(np.float16))
    assert read_embeddings(tmp_path / "a.npy").ids.to_pylist() == ["0", "1", "2", "3", "4", "5"]
    (tmp_path / "a.ids.txt").write_text("\n".join(IDS) + "\n")
    assert read_embeddings(tmp_path / "a.npy").ids.to_pylist() == IDS
    (tmp_path / "a.ids.txt").write_text("x\ny\n")
    with pytest.raises(DataError, match="2 ids"):
        read_embeddings(tmp_path / "a.npy")


@pytest.mark.parametrize(
    ("rows", "ids", "words"),
    [
        (changed(2, [0.0, float("nan"), 1.0]), None, "NaN, infinity or a missing number for 1 of 6 users: 'u2'"),
        (changed(2, [0.0, float("inf"), 1.0]), None, "NaN, infinity or a missing number for 1 of 6 users: 'u2'"),
        (changed(2, [0.0, 1e300, 1.0]), None, "NaN, infinity or a missing number for 1 of 6 users: 'u2'"),
        (changed(2, [0.0, None, 1.0]), None, "NaN, infinity or a missing number for 1 of 6 users: 'u2'"),
        (changed(3, [0.0, 0.0, 0.0]), None, "a zero vector for 1 of 6 users: 'u3'"),
        (changed(3, [0.0, 0.0]), None, "a list of another length, or none for 1 of 6 users: 'u3'"),
        (changed(3, None), None, "a list of another length, or none for 1 of 6 users: 'u3'"),
        (None, ["u0", "u1", "u1", "u3", "u4", "u0"], "2 users more than once: 'u0', 'u1'"),
        (None, ["u0", "u1", None, "u3", "u4", "u5"], "1 missing ids"),
        (None, ["u0", "u1", " ", "u3", "u4", "u5"], "1 empty ids"),
        (None, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "ids of type double"),
        (["a"] * 6, None, "beside the ids: vector"),
        ([[], [], [], [], [], []], None, "beside the ids|nobody"),
    ],
)
def test_vectors_and_ids_that_cannot_be_used_are_named(
    tmp_path: Path, rows: list[object] | None, ids: list[object] | None, words: str
) -> None:
    path = lists(tmp_path, rows, ids)
    with pytest.raises(DataError, match=words) as raised:
        read_embeddings(path)
    assert str(path) in raised.value.where
    assert raised.value.remedy


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    table = pa.table({"id": IDS, "v": VECTORS.tolist()})
    pq.write_table(table.append_column("age", pa.array(range(6))), tmp_path / "more.parquet")
    pq.write_table(table.select(["id"]), tmp_path / "bare.parquet")
    pq.write_table(table.slice(0, 0), tmp_path / "empty.parquet")
    (tmp_path / "text.parquet").write_text("id,vector\n")
    (tmp_path / "text.npy").write_text("id,vector\n")
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    np.save(tmp_path / "words.npy", np.array([["a", "b"]]))
    np.save(tmp_path / "none.npy", np.ones((0, 3)))
    np.savez(tmp_path / "packed", vectors=VECTORS)
    (tmp_path / "packed.npz").rename(tmp_path / "packed.npy")
    with (tmp_path / "endless.npy").open("wb") as stream:
        header = {"descr": "<f4", "fortran_order": False, "shape": (10**9, 10**6)}
        np.lib.format.write_array_header_1_0(stream, header)
    (tmp_path / "folder").mkdir()
    cases = {
        "more.parquet": "beside the ids",
        "bare.parquet": "nothing",
        "empty.parquet": "nobody",
        "text.parquet": "not Parquet",
        "text.npy": "not readable",
        "packed.npy": "not readable",
        "endless.npy": "not readable",
        "cube.npy": "an array",
        "words.npy": "an array",
        "none.npy": "nobody",
        "folder": "no .*parquet",
        "missing.parquet": "no such file",
        "missing.npy": "no such file",
    }
    for name, words in cases.items():
        with pytest.raises(DataError, match=words) as raised:
            read_embeddings(tmp_path / name)
        assert name in raised.value.where
    pq.write_table(table, tmp_path / "good.parquet")
    with pytest.raises(DataError, match="columns id, v") as raised:
        read_embeddings(tmp_path / "good.parquet", "user")
    assert "--id-column" in raised.value.remedy


def pairs_file(folder: Path, source: list[object], target: list[object]) -> Path:
    pq.write_table(pa.table({"source_id": source, "target_id": target}), folder / "pairs.parquet")
    return folder / "pairs.parquet"


def test_pairs_become_rows(tmp_path: Path) -> None:
    source = read_embeddings(lists(tmp_path))
    target = read_embeddings(lists(tmp_path, ids=[5, 4, 3, 2, 1, 0], name="b"))
    found, _ = read_pairs(pairs_file(tmp_path, ["u4", "u1"], [5, 0]), source, target)
    assert found.tolist() == [[4, 0], [1, 5]]
    assert found.dtype == np.int64


@pytest.mark.parametrize(
    ("left", "right", "words"),
    [
        (["u0", "u9", "x"], ["u0", "u1", "u2"], "2 ids without an embedding: 'u9', 'x'"),
        (["u0", "u1"], ["u0", "u9"], "1 ids without an embedding: 'u9'"),
        (["u0", "u0"], ["u0", "u1"], "1 users in more than one pair: 'u0'"),
        (["u0", "u1"], ["u3", "u3"], "1 users in more than one pair: 'u3'"),
        (["u0", "u0"], ["u1", "u1"], "1 users in more than one pair"),
        (["u0", None], ["u1", "u2"], "1 missing ids"),
    ],
)
def test_pairs_that_cannot_be_used_are_named(
    tmp_path: Path, left: list[object], right: list[object], words: str
) -> None:
    side = read_embeddings(lists(tmp_path))
    with pytest.raises(DataError, match=words) as raised:
        read_pairs(pairs_file(tmp_path, left, right), side, side)
    assert "pairs.parquet" in raised.value.where
    pq.write_table(pa.table({"source_id": ["u0"]}), tmp_path / "half.parquet")
    with pytest.raises(DataError, match="columns source_id"):
        read_pairs(tmp_path / "half.parquet", side, side)
