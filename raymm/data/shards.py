"""The work on one shard of users: all interactions of a range of users, in history order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raymm.data import layout
from raymm.data.clean import HISTORY_ORDER, core_rows, in_history_order, long_histories, without_repeats
from raymm.data.ids import rank_hash, shard_of, user_hashes
from raymm.data.recipe import Cleaning
from raymm.data.rows import Fate
from raymm.data.split import TEST, TRAIN, VALIDATION, Split, by_time, counts_of, hold_out, places_in_history
from raymm.data.truncation import Truncation, truncated
from raymm.errors import DataError

NEVER = np.iinfo(np.int64).max

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
        ("label", pa.int8()),
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
        labels: (n,) int8 of a given split, -1 where there is none.
        draws: (n,) uint64 random numbers of a split at random; (0,) for others.
    """

    user_ids: pa.Array
    users: np.ndarray
    items: np.ndarray
    ratings: np.ndarray
    times: np.ndarray
    labels: np.ndarray
    draws: np.ndarray


@dataclass(frozen=True, eq=False)
class Kept:
    """What cleaning leaves of a shard in one domain, in numbers.

    Attributes:
        user_ids: External ids of the users who stay, in the order of their numbers.
        item_counts: (I,) interactions of each item.
        n_core: Interactions in the k-core.
        n_rows: Interactions left after the least history too.
        unrated: Some of those have no rating.
        untimed: Some have no time.
    """

    user_ids: pa.Array
    item_counts: np.ndarray
    n_core: int
    n_rows: int
    unrated: bool
    untimed: bool


@dataclass(frozen=True, eq=False)
class Rule:
    """A split, and what it must know beyond one shard.

    Attributes:
        split: The split, as the recipe has it.
        points: Where validation and test begin in a split by time, for all domains.
        user_labels: (u,) int8, the label of all interactions of each user in a split by users; (0,) for others.
        truncation: Whose histories in this domain are cut short; None for nobody's.
    """

    split: Split
    points: tuple[int, int] | None
    user_labels: np.ndarray
    truncation: Truncation | None = None


@dataclass(frozen=True, eq=False)
class Parts:
    """How a split divides a shard in one domain.

    Attributes:
        train_items: (I,) bool, items with a training interaction.
        n_train: Training interactions.
        first_test: Time of the earliest test interaction, `NEVER` where none has a time.
    """

    train_items: np.ndarray
    n_train: int
    first_test: int


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


def tidy(rows: pa.Table, repeats: Literal["first", "last"] = "first", labelled: bool = False) -> pa.Table:
    """Bring all rows of a shard (`SHARDED`) into history order, and drop repeats by the rule of `without_repeats`.

    Raises:
        DataError: The split is given, but not for every row.
    """
    keys = rows.select([*HISTORY_ORDER, "item", *["label"] * labelled]).to_pandas()
    if labelled and rows["label"].null_count:
        raise DataError(
            f"{rows['label'].null_count:,} interactions without a label",
            "0, 1 or 2 for each where the split is given",
            "columns.label",
            "complete the column, or choose another split.kind",
        )
    keys["place"] = np.arange(len(keys))
    return rows.take(without_repeats(in_history_order(keys), repeats)["place"].to_numpy()).combine_chunks()


def histories(rows: pa.Table, domain: int, item_ids: pa.Array, split: Split) -> Histories:
    """Number the users and items of one domain in a tidy shard.

    Args:
        rows: `SHARDED`, tidy.
        domain: Number of the domain.
        item_ids: The domain's items, each once.
        split: The recipe's split; it says whether random numbers are needed.
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
        rows["label"].fill_null(-1).to_numpy(),
        _draws(rows, split.seed or 0) if split.is_random else np.empty(0, dtype=np.uint64),
    )


def keep(shard: Histories, core_items: np.ndarray, cleaning: Cleaning) -> tuple[Histories, Kept]:
    """Clean a shard, given the items (I,) bool of the k-core.

    Returns:
        What is left, its users numbered anew; and the same in numbers.
    """
    core = core_rows(shard.users, shard.items, core_items, cleaning.core_users)
    rows = long_histories(shard.users, core, cleaning.min_history)
    users, numbers = np.unique(shard.users[rows], return_inverse=True)
    left = Histories(
        shard.user_ids.take(pa.array(users)),
        numbers.astype(np.int64),
        shard.items[rows],
        shard.ratings[rows],
        shard.times[rows],
        shard.labels[rows],
        shard.draws[rows] if len(shard.draws) else shard.draws,
    )
    kept = Kept(
        left.user_ids,
        np.bincount(left.items, minlength=len(core_items)),
        int(core.sum()),
        len(left.items),
        bool(np.isnan(left.ratings).any()),
        bool((left.times < 0).any()),
    )
    return left, kept


def divide(shard: Histories, rule: Rule) -> np.ndarray:
    """Label the interactions of a cleaned shard: (n,) int8 of `TRAIN`, `VALIDATION`, `TEST`, `TRUNCATED`."""
    labels = _split(shard, rule)
    return truncated(labels, shard.users, shard.user_ids, rule.truncation) if rule.truncation else labels


def count_parts(shard: Histories, labels: np.ndarray, n_items: int) -> Parts:
    """Sum up how `labels` (n,) divide a shard of a domain with I = `n_items` items."""
    train = labels == TRAIN
    train_items = np.zeros(n_items, dtype=bool)
    train_items[shard.items[train]] = True
    tested = shard.times[(labels == TEST) & (shard.times >= 0)]
    return Parts(train_items, int(train.sum()), int(tested.min(initial=NEVER)))


def split_tables(
    shard: Histories, labels: np.ndarray, numbers: np.ndarray, first_user: int, first_row: int
) -> tuple[pa.Table, pa.Table, pa.Table]:
    """Lay out the parts of a shard.

    Args:
        shard: The shard, cleaned.
        labels: (n,) int8; rows that are `LEFT_OUT` are in no part.
        numbers: (I,) int64, the final number of each item.
        first_user: Number of users in the shards before.
        first_row: Number of training interactions in the shards before.

    Returns:
        Training (`layout.TRAIN`), validation and test interactions (`layout.HELD_OUT`), by user and order.
    """
    table = pa.table(
        {
            "user": first_user + shard.users,
            "item": numbers[shard.items],
            "order": places_in_history(shard.users),
            "rating": pa.array(shard.ratings, mask=np.isnan(shard.ratings)),
            "time": pa.array(shard.times, mask=shard.times < 0),
        }
    )
    train, validation, test = (table.filter(pa.array(labels == label)) for label in (TRAIN, VALIDATION, TEST))
    train = train.append_column("row", pa.array(first_row + np.arange(len(train))))
    return (
        train.select(layout.TRAIN.names).cast(layout.TRAIN),
        validation.select(layout.HELD_OUT.names).cast(layout.HELD_OUT),
        test.select(layout.HELD_OUT.names).cast(layout.HELD_OUT),
    )


def _split(shard: Histories, rule: Rule) -> np.ndarray:
    split = rule.split
    if split.kind == "given":
        return shard.labels
    if rule.points is not None:
        return by_time(shard.times, rule.points)
    if split.kind == "cold_start":
        everybody = np.full(len(shard.user_ids), TRAIN, dtype=np.int8)
        labels: np.ndarray = (rule.user_labels if len(rule.user_labels) else everybody)[shard.users]
        return labels
    return hold_out(shard.users, counts_of(split), shard.draws if split.is_random else None)


def _draws(rows: pa.Table, seed: int) -> np.ndarray:
    """Draw a number for each row: (n,) uint64 that hang on user, item, domain and seed only."""
    items = rows["item"].combine_chunks().dictionary_encode()
    hashes = rank_hash(items.dictionary.to_pylist(), f"split, seed {seed}")[items.indices.to_numpy()]
    return _mixed(rows["hash"].to_numpy() ^ hashes)


def _mixed(numbers: np.ndarray) -> np.ndarray:
    """Scatter (n,) uint64 over their range, one to one: the finaliser of SplitMix64 (Steele, Lea, Flood 2014)."""
    numbers = (numbers ^ (numbers >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    numbers = (numbers ^ (numbers >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    scattered: np.ndarray = numbers ^ (numbers >> np.uint64(31))
    return scattered
