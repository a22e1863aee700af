"""The work on one shard of users: all interactions of a range of users, in history order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymm.data import layout
from raymm.data.clean import HISTORY_ORDER, core_rows, in_history_order, long_histories, without_repeats
from raymm.data.ids import shard_of, user_hashes
from raymm.data.recipe import Cleaning
from raymm.data.rows import Fate
from raymm.data.split import TEST, TRAIN, VALIDATION, leave_last_out, places_in_history

# What a row needs after parsing; whatever was set aside is counted before.
SHARDED = pa.schema(
    [
        ("shard", pa.int64()),
        ("domain", pa.int8()),
        ("hash", pa.uint64()),
        ("user", pa.string()),
        ("item", pa.string()),
        ("rating", pa.float32()),
        ("time", pa.int64()),
        ("key", pa.int64()),
        ("piece", pa.int32()),
        ("line", pa.int64()),
    ]
)


@dataclass(frozen=True, eq=False)
class Histories:
    """The interactions of a shard's users in one domain.

    Attributes:
        user_ids: (u,) external ids, in the order of the users' numbers.
        users: (n,) int64 places in `user_ids`, ascending; a user's interactions stand in order.
        items: (n,) int64 places in the domain's list of items.
        ratings: (n,) float32, NaN where there is none.
        times: (n,) int64 seconds, -1 where there is none.
    """

    user_ids: pa.Array
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray


@dataclass(frozen=True, eq=False)
class Kept:
    """What cleaning leaves of a shard in one domain.

    Attributes:
        user_ids: External ids of the users who stay, in the order of their numbers.
        item_counts: (I,) interactions of each item.
        n_core: Interactions in the k-core.
        n_rows: Interactions left after the least history too.
        n_train: Those of them that are for training.
        unrated: Some of those have no rating.
        untimed: Some have no time.
    """

    user_ids: pa.Array
    item_counts: np.ndarray
    n_core: int
    n_rows: int
    n_train: int
    unrated: bool
    untimed: bool


def mark_shards(rows: pa.Table, domains: tuple[str, ...], n_shards: int) -> pa.Table:
    """Take the rows that were not set aside, and say to which shard each user belongs: `SHARDED`."""
    rows = rows.filter(pc.equal(rows["fate"], int(Fate.TAKEN)))
    hashes = np.zeros(len(rows), dtype=np.uint64)
    numbers = rows["domain"].to_numpy()
    for number, domain in enumerate(domains):
        inside = numbers == number
        if inside.any():
            hashes[inside] = user_hashes(rows["user"].filter(pa.array(inside)), domain)
    return (
        rows.append_column("hash", pa.array(hashes))
        .append_column("shard", pa.array(shard_of(hashes, n_shards)))
        .select(SHARDED.names)
        .cast(SHARDED)
    )


def tidy(rows: pa.Table) -> pa.Table:
    """Bring all rows of a shard (`SHARDED`) into history order, and drop repeats."""
    keys = rows.select([*HISTORY_ORDER, "item"]).to_pandas()
    keys["place"] = np.arange(len(keys))
    return rows.take(without_repeats(in_history_order(keys))["place"].to_numpy()).combine_chunks()


def histories(rows: pa.Table, domain: int, item_ids: pa.Array) -> Histories:
    """Number the users and items of one domain in a tidy shard.

    Args:
        rows: `SHARDED`, tidy.
        domain: Number of the domain.
        item_ids: The domain's items, each once.
    """
    rows = rows.filter(pc.equal(rows["domain"], domain))
    users = pa.concat_arrays(rows["user"].chunks) if len(rows) else pa.array([], type=pa.string())
    begins = np.ones(len(rows), dtype=bool)
    if len(rows) > 1:
        begins[1:] = pc.not_equal(users[1:], users[:-1]).to_numpy(zero_copy_only=False)
    return Histories(
        users.filter(pa.array(begins)),
        np.cumsum(begins) - 1,
        pc.index_in(rows["item"], value_set=item_ids).to_numpy().astype(np.int64),
        rows["rating"].fill_null(float("nan")).to_numpy(),
        rows["time"].fill_null(-1).to_numpy(),
    )


def keep(shard: Histories, core_items: np.ndarray, cleaning: Cleaning) -> Kept:
    """Sum up what cleaning leaves, given the items (I,) bool of the k-core."""
    core = core_rows(shard.users, shard.items, core_items, cleaning.core_users)
    rows = long_histories(shard.users, core, cleaning.min_history)
    users = shard.users[rows]
    return Kept(
        shard.user_ids.take(pa.array(np.unique(users))),
        np.bincount(shard.items[rows], minlength=len(core_items)),
        int(core.sum()),
        int(rows.sum()),
        int((leave_last_out(users) == TRAIN).sum()),
        bool(np.isnan(shard.ratings[rows]).any()),
        bool((shard.times[rows] < 0).any()),
    )


def split_tables(
    shard: Histories, core_items: np.ndarray, cleaning: Cleaning, numbers: np.ndarray, first_user: int, first_row: int
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Split what cleaning leaves.

    Args:
        shard: The shard.
        core_items: (I,) bool, items of the k-core.
        cleaning: The recipe's cleaning.
        numbers: (I,) int64, the final number of each item.
        first_user: Number of users in the shards before.
        first_row: Number of training interactions in the shards before.

    Returns:
        Training (`layout.TRAIN`), validation and test interactions (`layout.HELD_OUT`), by user.
    """
    core = core_rows(shard.users, shard.items, core_items, cleaning.core_users)
    rows = long_histories(shard.users, core, cleaning.min_history)
    users = first_user + np.unique(shard.users[rows], return_inverse=True)[1].astype(np.int64)
    items, ratings, times = numbers[shard.items[rows]], shard.ratings[rows], shard.times[rows]
    labels = leave_last_out(users)
    train = labels == TRAIN
    table = pa.table(
        {
            "user": users[train],
            "item": items[train],
            "order": places_in_history(users)[train],
            "rating": pa.array(ratings[train], mask=np.isnan(ratings[train])),
            "time": pa.array(times[train], mask=times[train] < 0),
            "row": first_row + np.arange(int(train.sum())),
        },
        schema=layout.TRAIN,
    )
    validation, test = (
        pa.table({"user": users[labels == label], "item": items[labels == label]}, schema=layout.HELD_OUT)
        for label in (VALIDATION, TEST)
    )
    return table, validation, test
