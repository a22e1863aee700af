from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from raymm.data.ids import merged, user_hashes
from raymm.data.recipe import Cleaning
from raymm.data.rows import INTERACTIONS, Fate
from raymm.data.shards import (
    NEVER,
    SHARDED,
    Rule,
    count_parts,
    divide,
    histories,
    keep,
    mark_shards,
    split_tables,
    tidy,
)
from raymm.data.split import TEST, TRAIN, VALIDATION, Split
from raymm.errors import DataError


def rows(*values: tuple[int, str, str, int], fate: Fate = Fate.TAKEN) -> pa.Table:
    return pa.table(
        {
            "domain": [domain for domain, *_ in values],
            "user": [user for _, user, *_ in values],
            "item": [item for *_, item, _ in values],
            "rating": [float(key) for *_, key in values],
            "time": [100 + key for *_, key in values],
            "key": [key for *_, key in values],
            "label": [key % 3 for *_, key in values],
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


NOBODY = np.empty(0, dtype=np.int8)
EVERYBODY = Rule(Split(), None, NOBODY)


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
    shard = histories(table, 0, items, Split())
    assert sorted(shard.user_ids.to_pylist()) == ["long", "short"]
    assert (np.diff(shard.users) >= 0).all()
    found = [(shard.user_ids[u].as_py(), items[i].as_py()) for u, i in zip(shard.users, shard.items, strict=True)]
    assert sorted(found) == sorted([("long", f"i{i}") for i in range(5)] + [("short", "i0"), ("short", "i1")])
    assert [item for user, item in found if user == "long"] == [f"i{i}" for i in range(5)]
    assert histories(table, 1, items, Split()).user_ids.to_pylist() == ["other"]


def test_split_numbers_users_and_rows_from_where_the_last_shard_ended() -> None:
    table = tidy(mark_shards(HISTORIES, ("a", "b"), 1))
    items = merged([table["item"].combine_chunks()])
    shard = histories(table, 0, items, Split())
    core = np.ones(len(items), dtype=bool)
    core[items.to_pylist().index("i3")] = False
    cleaning = Cleaning(core_users=1, core_items=1, min_history=3)
    left, kept = keep(shard, core, cleaning)
    assert left.user_ids.to_pylist() == kept.user_ids.to_pylist() == ["long"]
    assert (kept.n_core, kept.n_rows, left.users.tolist()) == (6, 4, [0, 0, 0, 0])
    assert not kept.unrated
    assert not kept.untimed
    labels = divide(left, EVERYBODY)
    parts = count_parts(left, labels, len(items))
    assert (parts.n_train, parts.first_test, parts.train_items.tolist()) == (
        2,
        104,
        [True, True, False, False, False, False],
    )
    numbers = np.arange(len(items)) * 10
    train, validation, test = split_tables(left, labels, numbers, 100, 1_000)
    number = {name: 10 * place for place, name in enumerate(items.to_pylist())}
    assert train.to_pylist() == [
        {"user": 100, "item": number["i0"], "order": 0, "rating": 0.0, "time": 100, "row": 1_000},
        {"user": 100, "item": number["i1"], "order": 1, "rating": 1.0, "time": 101, "row": 1_001},
    ]
    assert validation.to_pylist() == [{"user": 100, "item": number["i2"], "rating": 2.0, "time": 102}]
    assert test.to_pylist() == [{"user": 100, "item": number["i4"], "rating": 4.0, "time": 104}]


def test_random_numbers_hang_on_user_item_and_seed_only() -> None:
    whole = tidy(mark_shards(HISTORIES, ("a", "b"), 1))
    items = merged([whole["item"].combine_chunks()])
    drawn = {}
    for table in (whole, whole.filter(pa.array(np.arange(8) % 2 == 0)), whole.slice(3)):
        shard = histories(table, 0, items, Split("mmrec"))
        assert len(shard.draws) == len(shard.users) > 0
        for user, item, draw in zip(shard.users, shard.items, shard.draws, strict=True):
            drawn.setdefault((shard.user_ids[user].as_py(), items[item].as_py()), set()).add(int(draw))
    assert len(drawn) == 7
    assert {len(numbers) for numbers in drawn.values()} == {1}
    assert len(set.union(*drawn.values())) == 7
    other = histories(whole, 0, items, Split("mmrec", seed=1)).draws
    assert not np.isin(other, list(set.union(*drawn.values()))).any()


def test_each_kind_divides_by_its_own_rule() -> None:
    table = tidy(mark_shards(HISTORIES, ("a", "b"), 1))
    items = merged([table["item"].combine_chunks()])
    shard = histories(table, 0, items, Split())
    first = shard.user_ids[0].as_py()
    assert divide(shard, Rule(Split("given"), None, NOBODY)).tolist() == [
        k % 3 for k in shard.times.tolist() - 100 * np.ones(7, int)
    ]
    timed = Split("time", by="time", validation_from=102, test_from=103)
    expected = np.searchsorted([102, 103], shard.times, side="right")
    np.testing.assert_array_equal(divide(shard, Rule(timed, (102, 103), NOBODY)), expected)
    cold = divide(shard, Rule(Split("cold_start"), None, np.array([TEST, VALIDATION], dtype=np.int8)))
    assert cold.tolist() == [TEST if shard.user_ids[user].as_py() == first else VALIDATION for user in shard.users]
    assert divide(shard, Rule(Split("cold_start"), None, NOBODY)).tolist() == [TRAIN] * 7


def test_given_split_needs_a_label_for_each_row() -> None:
    rows = mark_shards(HISTORIES, ("a", "b"), 1)
    place = rows.schema.get_field_index("label")
    with pytest.raises(DataError, match="9 interactions without a label"):
        tidy(rows.set_column(place, "label", pa.nulls(9, pa.int8())), labelled=True)


def test_empty_shard_goes_through_every_step() -> None:
    table = tidy(SHARDED.empty_table())
    for split in (Split(), Split("mmrec"), Split("given"), Split("cold_start")):
        shard, kept = keep(histories(table, 0, pa.array(["i"]), split), np.ones(1, dtype=bool), Cleaning())
        assert (len(kept.user_ids), kept.n_rows, kept.item_counts.tolist()) == (0, 0, [0])
        labels = divide(shard, Rule(split, None, NOBODY))
        assert (count_parts(shard, labels, 1).n_train, count_parts(shard, labels, 1).first_test) == (0, NEVER)
        assert [part.num_rows for part in split_tables(shard, labels, np.zeros(1, int), 0, 0)] == [0, 0, 0]
