from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from scipy import sparse

from raymm.contracts import Domain
from raymm.data import layout
from raymm.data.graph_files import BLOCK, GraphLayout, join_parts, open_graph, write_part
from raymm.errors import ArtefactError

USERS, ITEMS = 50, 40
CUTS = (0, 0, 17, 30, 30, USERS)  # shards of users, two of them empty


def write(folder: Path, seed: int = 0) -> tuple[np.ndarray, GraphLayout]:
    """Write random interactions in shards; return the dense matrix of ratings, 0 where there is none."""
    generator = np.random.default_rng(seed)
    dense = np.where(generator.random((USERS, ITEMS)) < 0.2, generator.integers(1, 6, (USERS, ITEMS)), 0).astype(
        np.float32
    )
    dense[[0, 20, USERS - 1]] = 0  # users without interactions, the last one too
    shape = GraphLayout(USERS, ITEMS, int((dense > 0).sum()), True, True)
    for shard, (first, last) in enumerate(zip(CUTS[:-1], CUTS[1:], strict=True)):
        users, items = np.nonzero(dense[first:last])
        order = np.argsort(users + generator.random(len(users)) * 0.5, kind="stable")  # any order within a user
        users, items = users[order] + first, items[order]
        columns = {"user": users, "item": items, "rating": dense[users, items], "time": 1_000 * users + items}
        write_part(layout.graph_part(folder, "a", shard), pa.table(columns), range(first, last), shape)
    join_parts(folder, "a", len(CUTS) - 1, shape)
    return dense, shape


def owner(array: np.ndarray) -> object:
    """Follow the views to what holds the memory, or the map that stands for it."""
    while isinstance(array, np.ndarray) and not isinstance(array, np.memmap) and array.base is not None:
        array = array.base
    return array


def test_joined_parts_are_the_matrix_in_canonical_order(tmp_path: Path) -> None:
    dense, shape = write(tmp_path)
    matrix, ratings, times = open_graph(tmp_path, "a", shape)
    np.testing.assert_array_equal(matrix.toarray(), dense > 0)
    users, items = np.nonzero(dense)
    assert len(users) > 300
    np.testing.assert_array_equal(matrix.indices, items)
    np.testing.assert_array_equal(ratings, dense[users, items])
    np.testing.assert_array_equal(times, 1_000 * users + items)
    assert sparse.csr_array((matrix.data, matrix.indices, matrix.indptr)).has_canonical_format  # asked, not told
    assert not list((tmp_path / "domains" / "a" / "graph").glob("part-*"))


def test_arrays_of_a_domain_are_views_of_the_files(tmp_path: Path) -> None:
    _, shape = write(tmp_path)
    matrix, ratings, times = open_graph(tmp_path, "a", shape)
    domain = Domain("a", matrix, {}, ratings, times)
    names = {"ones": domain.interactions.data, "items": domain.interactions.indices}
    names |= {"starts": domain.interactions.indptr, "ratings": domain.ratings, "times": domain.times}
    for name, array in names.items():
        held = owner(array)
        assert isinstance(held, np.memmap), name
        assert Path(held.filename) == layout.graph_file(tmp_path, "a", name)
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    assert domain.interactions.indices.dtype == domain.interactions.indptr.dtype == np.int32


def test_large_domains_have_wide_indices_that_scipy_keeps(tmp_path: Path) -> None:
    wide = GraphLayout(3, 2**31, 4, False, False)
    assert wide.index == np.int64
    assert GraphLayout(3, 2**31 - 1, 4, False, False).index == np.int32
    train = pa.table({"user": [0, 0, 2, 2], "item": [7, 2**31 - 1, 1, 0]})
    write_part(layout.graph_part(tmp_path, "a", 0), train, range(3), wide)
    join_parts(tmp_path, "a", 1, wide)
    matrix, ratings, times = open_graph(tmp_path, "a", wide)
    assert (ratings, times) == (None, None)
    assert matrix.indices.tolist() == [7, 2**31 - 1, 0, 1]
    assert matrix.indptr.tolist() == [0, 2, 2, 4]
    assert isinstance(owner(matrix.indices), np.memmap)


def test_blocks_do_not_cut_arrays(tmp_path: Path) -> None:
    users, each = 5, BLOCK // 2
    shape = GraphLayout(users, each, users * each, False, False)
    for shard in range(users):
        train = pa.table({"user": np.full(each, shard), "item": np.arange(each)})
        write_part(layout.graph_part(tmp_path, "a", shard), train, range(shard, shard + 1), shape)
    join_parts(tmp_path, "a", users, shape)
    matrix, _, _ = open_graph(tmp_path, "a", shape)
    np.testing.assert_array_equal(matrix.indptr, np.arange(users + 1) * each)
    np.testing.assert_array_equal(matrix.indices.reshape(users, each), np.tile(np.arange(each), (users, 1)))
    assert (matrix.data == 1).all()


def test_missing_damaged_and_strange_files_are_named(tmp_path: Path) -> None:
    _, shape = write(tmp_path)
    path = layout.graph_file(tmp_path, "a", "items")
    content = path.read_bytes()
    for broken in (content[:-10], content[:20], b""):
        path.write_bytes(broken)
        with pytest.raises(ArtefactError, match=r"(?s)items\.npy.*a damaged file"):
            open_graph(tmp_path, "a", shape)
    np.save(path, np.zeros(3, dtype=np.int32))
    with pytest.raises(ArtefactError, match=r"(?s)items\.npy.*shape \(3,\)"):
        open_graph(tmp_path, "a", shape)
    path.unlink()
    with pytest.raises(ArtefactError, match=r"(?s)items\.npy.*no such file"):
        open_graph(tmp_path, "a", shape)
