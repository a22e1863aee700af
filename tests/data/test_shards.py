from __future__ import annotations

import numpy as np
import pyarrow as pa

from raymm.data.ids import merged, user_hashes
from raymm.data.recipe import Cleaning
from raymm.data.rows import INTERACTIONS, Fate
from raymm.data.shards import SHARDED, histories, keep, mark_shards, split_tables, tidy


def rows(*values: tuple[int, str, str, int], fate: Fate = Fate.TAKEN) -> pa.Table:
    return pa.table(
        {
            "domain": [domain for domain, *_ in values],
            "user": [user for _, user, *_ in values],
            "item": [item for *_, item, _ in values],
            "rating": [float(key) for *_, key in values],
            "time": [100 + key for *_, key in values],
            "key": [key for *_, key in values],
            "source": [0] * len(values),
            "piece": [0] * len(values),
            "line": list(range(len(values))),
            "fate": [int(fate)] * len(values),
            "reason": [None] * len(values),
            "text": [None] * len(values),
        },
        schema=INTERACTIONS,
    )


HISTORIES = rows(
    *[(0, "long", f"i{place}", place) for place in range(5)],
    *[(0, "short", f"i{place}", place) for place in range(2)],
    (0, "long", "i0", 9),
    (1, "other", "z", 0),
)


def test_marked_rows_carry_the_hash_of_their_domain() -> None:
    marked = mark_shards(HISTORIES, ("a", "b"), 4)
    assert marked.schema == SHARDED
    by_user = dict(zip(marked["user"].to_pylist(), marked["hash"].to_pylist(), strict=True))
    assert by_user["long"] == user_hashes(pa.array(["long"]), "a")[0]
    assert by_user["other"] == user_hashes(pa.array(["other"]), "b")[0]
    for fate in (Fate.OTHER_DOMAIN, Fate.LOW_RATING, Fate.MALFORMED):
        assert mark_shards(rows((0, "u", "i", 0), fate=fate), ("a", "b"), 4).num_rows == 0


def test_histories_count_what_the_table_holds() -> None:
    table = tidy(mark_shards(HISTORIES, ("a", "b"), 1))
    assert table.num_rows == 8  # the second time of i0 is gone
    items = merged([table["item"].combine_chunks()])
    shard = histories(table, 0, items)
    assert sorted(shard.user_ids.to_pylist()) == ["long", "short"]
    assert (np.diff(shard.users) >= 0).all()
    found = [(shard.user_ids[u].as_py(), items[i].as_py()) for u, i in zip(shard.users, shard.items, strict=True)]
    assert sorted(found) == sorted([("long", f"i{i}") for i in range(5)] + [("short", "i0"), ("short", "i1")])
    assert [item for user, item in found if user == "long"] == [f"i{i}" for i in range(5)]
    assert histories(table, 1, items).user_ids.to_pylist() == ["other"]


def test_split_numbers_users_and_rows_from_where_the_last_shard_ended() -> None:
    table = tidy(mark_shards(HISTORIES, ("a", "b"), 1))
    items = merged([table["item"].combine_chunks()])
    shard = histories(table, 0, items)
    core = np.ones(len(items), dtype=bool)
    core[items.to_pylist().index("i3")] = False
    cleaning = Cleaning(core_users=1, core_items=1, min_history=3)
    kept = keep(shard, core, cleaning)
    assert kept.user_ids.to_pylist() == ["long"]
    assert (kept.n_core, kept.n_rows, kept.n_train) == (6, 4, 2)
    assert not kept.unrated
    assert not kept.untimed
    numbers = np.arange(len(items)) * 10
    train, validation, test = split_tables(shard, core, cleaning, numbers, 100, 1_000)
    number = {name: 10 * place for place, name in enumerate(items.to_pylist())}
    assert train.to_pylist() == [
        {"user": 100, "item": number["i0"], "order": 0, "rating": 0.0, "time": 100, "row": 1_000},
        {"user": 100, "item": number["i1"], "order": 1, "rating": 1.0, "time": 101, "row": 1_001},
    ]
    assert validation.to_pylist() == [{"user": 100, "item": number["i2"]}]
    assert test.to_pylist() == [{"user": 100, "item": number["i4"]}]


def test_empty_shard_goes_through_every_step() -> None:
    table = tidy(SHARDED.empty_table())
    shard = histories(table, 0, pa.array(["i"]))
    cleaning = Cleaning()
    kept = keep(shard, np.ones(1, dtype=bool), cleaning)
    assert (len(kept.user_ids), kept.n_rows, kept.item_counts.tolist()) == (0, 0, [0])
    assert [
        part.num_rows for part in split_tables(shard, np.ones(1, dtype=bool), cleaning, np.zeros(1, int), 0, 0)
    ] == [
        0,
        0,
        0,
    ]
