from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raymm.data.feature_shards import read_shard, write_shard

VALUES = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
REASONS = ["", "a damaged imäge", ""]


def test_a_shard_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "x.shard"
    write_shard(path, VALUES, REASONS)
    found = read_shard(path)
    assert found is not None
    np.testing.assert_array_equal(found[0], VALUES)
    assert found[1] == REASONS
    assert [file.name for file in path.parent.iterdir()] == ["x.shard"]  # no draft is left


def test_shards_of_nothing_are_whole(tmp_path: Path) -> None:
    write_shard(tmp_path / "x", np.zeros((2, 0), dtype=np.float32), ["no text"] * 2)
    found = read_shard(tmp_path / "x")
    assert found is not None
    assert found[0].shape == (2, 0)


@pytest.mark.parametrize("place", [0, 31, 32, 100, -1])
def test_a_changed_byte_is_seen(tmp_path: Path, place: int) -> None:
    path = tmp_path / "x.shard"
    write_shard(path, VALUES, REASONS)
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    assert read_shard(path) is None


@pytest.mark.parametrize("kept", [0, 10, 32, 200])
def test_a_torn_or_missing_shard_is_seen(tmp_path: Path, kept: int) -> None:
    path = tmp_path / "x.shard"
    assert read_shard(path) is None
    write_shard(path, VALUES, REASONS)
    path.write_bytes(path.read_bytes()[:kept])
    assert read_shard(path) is None
