from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raymm.config import build, plain
from raymm.data.recipe import Recipe, read_recipe
from raymm.data.shards import histories
from raymm.errors import DataError
from raymm.launch.histories import clean_domain, count_items, gather, scatter, shard_by_user
from raymm.launch.sources import INTERACTIONS, find_files, read_files
from tests.conftest import SAMPLE
from tests.data.recipes import recipe
from tests.data.test_shards import HISTORIES
from tests.launch.toy import core

QUIET = lambda *_: None  # noqa: E731


def test_scattered_and_gathered_rows_are_the_same_for_any_number_of_shards() -> None:
    whole, (items, n_rows) = gather(recipe(), scatter(HISTORIES, ("a", "b"), 1))
    assert ([len(part) for part in items], n_rows) == ([5, 1], [7, 1])
    blocks = [HISTORIES.slice(0, 4), HISTORIES.slice(4)]
    parts = [scatter(block, ("a", "b"), 3) for block in blocks]
    shards = [gather(recipe(), *(part[shard] for part in parts))[0] for shard in range(3)]
    columns = ["domain", "hash", "user", "item", "key"]
    joined = pa.concat_tables(shards).select(columns).sort_by([(name, "ascending") for name in columns])
    assert joined.equals(whole.select(columns).sort_by([(name, "ascending") for name in columns]))
    assert gather(recipe())[0].num_rows == 0


def test_items_of_a_shard_are_counted_as_cleaning_says() -> None:
    table, (items, _) = gather(recipe(), scatter(HISTORIES, ("a", "b"), 1))
    shard = histories(table, 0, items[0], recipe().split)
    everything = np.ones(5, dtype=bool)
    assert count_items(shard, everything, 3).tolist() == [1, 1, 1, 1, 1]
    assert count_items(shard, everything, 1).tolist() == [2, 2, 1, 1, 1]


@pytest.mark.ray
@pytest.mark.parametrize(("users", "items"), [(6, 4), (7, 3)])
def test_k_core_over_the_cluster_equals_pandas_on_real_data(ray_cluster: object, users: int, items: int) -> None:
    values = plain(read_recipe(SAMPLE))
    wanted = build(Recipe, {**values, "cleaning": {"core_users": users, "core_items": items}})
    blocks = read_files(find_files(SAMPLE, wanted, INTERACTIONS, 200_000))
    shards = shard_by_user(blocks, wanted, 3, QUIET)
    rows = pd.read_csv(SAMPLE.parent / "interactions.tsv", sep="\t", dtype=str, keep_default_na=False)
    rows = rows.rename(columns={"user": "who", "item": "what", "order": "place"})
    for number, domain in enumerate(wanted.domains):
        expected = core(rows[rows["domain"] == domain], users, items)
        if expected.empty:
            with pytest.raises(DataError, match="nothing is left"):
                clean_domain(shards, wanted, number, QUIET)
            continue
        cleaned = clean_domain(shards, wanted, number, QUIET)
        assert cleaned.passes > 2
        assert sum(kept.n_rows for kept in cleaned.kept) == len(expected)
        assert set(cleaned.user_ids.to_pylist()) == set(expected["who"])
        assert cleaned.item_ids.to_pylist() == sorted(set(expected["what"]))
