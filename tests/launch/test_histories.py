from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from raymm.config import build, plain
from raymm.data import layout
from raymm.data.recipe import Cleaning, Recipe, read_recipe
from raymm.errors import DataError
from raymm.launch.histories import clean_domain, count_items, gather, scatter, shard_by_user, write_domain, write_shard
from raymm.launch.sources import INTERACTIONS, find_files, read_files
from tests.conftest import SAMPLE
from tests.data.test_shards import HISTORIES
from tests.launch.toy import core

QUIET = lambda *_: None  # noqa: E731


def test_scattered_and_gathered_rows_are_the_same_for_any_number_of_shards() -> None:
    whole, (items, n_rows) = gather(2, scatter(HISTORIES, ("a", "b"), 1))
    assert ([len(part) for part in items], n_rows) == ([5, 1], [7, 1])
    blocks = [HISTORIES.slice(0, 4), HISTORIES.slice(4)]
    parts = [scatter(block, ("a", "b"), 3) for block in blocks]
    shards = [gather(2, *(part[shard] for part in parts))[0] for shard in range(3)]
    columns = ["domain", "hash", "user", "item", "key"]
    joined = pa.concat_tables(shards).select(columns).sort_by([(name, "ascending") for name in columns])
    assert joined.equals(whole.select(columns).sort_by([(name, "ascending") for name in columns]))
    assert gather(2)[0].num_rows == 0


def test_shard_is_counted_and_written_as_cleaning_says(tmp_path: Path) -> None:
    from raymm.data.shards import histories

    table, (items, _) = gather(2, scatter(HISTORIES, ("a", "b"), 1))
    shard = histories(table, 0, items[0])
    everything = np.ones(5, dtype=bool)
    assert count_items(shard, everything, 3).tolist() == [1, 1, 1, 1, 1]
    assert count_items(shard, everything, 1).tolist() == [2, 2, 1, 1, 1]
    path = tmp_path / "part-00000.parquet"
    _, test = write_shard(shard, everything, Cleaning(core_users=1, core_items=1), np.arange(5), (0, 0), str(path))
    assert pq.read_table(path)["item"].to_pylist() == [0, 1, 2]
    assert test["item"].to_pylist() == [4]


@pytest.mark.ray
@pytest.mark.parametrize(("users", "items"), [(6, 4), (7, 3)])
def test_k_core_over_the_cluster_equals_pandas_on_real_data(
    ray_cluster: object, tmp_path: Path, users: int, items: int
) -> None:
    values = plain(read_recipe(SAMPLE))
    recipe = build(Recipe, {**values, "cleaning": {"core_users": users, "core_items": items}})
    blocks = read_files(find_files(SAMPLE, recipe, INTERACTIONS, 200_000))
    shards = shard_by_user(blocks, recipe.domains, 3, QUIET)
    rows = pd.read_csv(SAMPLE.parent / "interactions.tsv", sep="\t", dtype=str, keep_default_na=False)
    rows = rows.rename(columns={"user": "who", "item": "what", "order": "place"})
    for number, domain in enumerate(recipe.domains):
        expected = core(rows[rows["domain"] == domain], users, items)
        if expected.empty:
            with pytest.raises(DataError, match="nothing is left"):
                clean_domain(shards, recipe, number, QUIET)
            continue
        cleaned = clean_domain(shards, recipe, number, QUIET)
        assert cleaned.passes > 2
        assert sum(kept.n_rows for kept in cleaned.kept) == len(expected)
        assert set(cleaned.user_ids.to_pylist()) == set(expected["who"])
        assert cleaned.item_ids.to_pylist() == sorted(set(expected["what"]))
        n_validation, n_test = write_domain(tmp_path, recipe, number, cleaned, QUIET)
        assert n_validation == n_test == expected["who"].nunique()
        table = pq.read_table(layout.train_folder(tmp_path, domain)).to_pandas()
        assert sorted(table["row"]) == list(range(len(expected) - 2 * n_test))
