from __future__ import annotations

import subprocess
import sys

import numpy as np
import pyarrow as pa

from raymm.data.ids import id_lines, merged, rank_hash, shard_of, user_hashes


def test_hash_does_not_depend_on_the_process() -> None:
    code = "from raymm.data.ids import rank_hash; print(rank_hash(['a', 'ü', ''], 'salt').tolist())"
    outputs = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert outputs == {f"{rank_hash(['a', 'ü', ''], 'salt').tolist()}\n"}


def test_hashes_are_spread_evenly_and_unrelated_between_domains() -> None:
    ids = pa.array([f"user {number}" for number in range(4_000)])
    first, second = user_hashes(ids, "first"), user_hashes(ids, "second")
    assert len(np.unique(first)) == 4_000
    assert abs(np.corrcoef(np.argsort(np.argsort(first)), np.argsort(np.argsort(second)))[0, 1]) < 0.06
    assert np.bincount(shard_of(first, 8), minlength=8).min() > 400


def test_hashes_follow_the_ids_and_repetitions_share_theirs() -> None:
    ids = pa.chunked_array([["b", "a"], ["b"]])
    assert user_hashes(ids, "x").tolist() == rank_hash(["b", "a", "b"], "user of x").tolist()


def test_shards_are_ranges_of_the_hash() -> None:
    hashes = np.sort(rank_hash(map(str, range(1_000)), "x"))
    for n_shards in (1, 3, 7):
        shards = shard_of(hashes, n_shards)
        assert (np.diff(shards) >= 0).all()
        assert set(shards) == set(range(n_shards))
    extremes = np.array([0, 2**64 - 1], dtype=np.uint64)
    assert shard_of(extremes, 2**31).tolist() == [0, 2**31 - 1]


def test_merged_lists_each_string_once_in_order() -> None:
    parts = [pa.array(["b", "ä", "b"]), pa.array([], type=pa.string()), pa.array(["a", "Z", "😀", "a"])]
    assert merged(parts).to_pylist() == sorted({"b", "ä", "a", "Z", "😀"})
    assert merged([]).to_pylist() == []


def test_ids_end_with_a_line_feed_and_with_nothing_else() -> None:
    assert id_lines("a\u2028b\x85\r\n\nc") == ["a\u2028b\x85", "", "c"]
    assert id_lines("a\n") == id_lines("a") == ["a"]
    assert id_lines("") == []
