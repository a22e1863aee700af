"""The split of cleaned histories on a cluster: planned over all domains, then written shard by shard."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import ray

from raymm.data import layout
from raymm.data.cold_start import cold_labels
from raymm.data.graph_files import GraphLayout, join_parts, write_part
from raymm.data.overlap import true_pairs
from raymm.data.recipe import Recipe
from raymm.data.shards import NEVER, Histories, Parts, Rule, count_parts, divide, split_tables
from raymm.data.split import LEFT_OUT, TRAIN, Split, without_unseen
from raymm.data.timeline import find_times
from raymm.errors import DataError
from raymm.launch.histories import Cleaned
from raymm.launch.sources import Progress, collect


@dataclass(frozen=True)
class Written:
    """What a split made of one domain.

    Attributes:
        train: Training interactions.
        validation: Validation interactions.
        test: Test interactions.
        new_users: Held-out interactions of users without training interactions, left out or not.
        new_items: Held-out interactions of items without training interactions, left out or not.
        left_out: How many of either were left out.
        train_after_test: Share of the training interactions that are later than the earliest test interaction: what
            training knows of the time of the test. None where not every interaction has a time, or there is no test.
    """

    train: int
    validation: int
    test: int
    new_users: int
    new_items: int
    left_out: int
    train_after_test: float | None


@dataclass(frozen=True, eq=False)
class Whole:
    """What the shards of a domain must know of the whole.

    Attributes:
        train_items: (I,) bool, items with a training interaction.
        numbers: (I,) int64, the final number of each item.
        first_test: Time of the earliest test interaction.
        shape: What its training matrix looks like.
    """

    train_items: np.ndarray
    numbers: np.ndarray
    first_test: int
    shape: GraphLayout


@dataclass(frozen=True, eq=False)
class Done:
    """What is left to do of a shard whose training interactions were written, and its counts; see `Written`."""

    validation: pa.Table
    test: pa.Table
    new_users: int
    new_items: int
    left_out: int
    later: int


def plan_split(recipe: Recipe, cleaned: Sequence[Cleaned]) -> tuple[Rule, ...]:
    """Find what the split of each domain needs to know of all shards and domains.

    Raises:
        DataError: The data do not allow the split: no times, or too few shared users.
    """
    split = recipe.split
    points = _time_points(split, cleaned) if split.kind == "time" else None
    cut = recipe.truncation
    rules = [
        Rule(split, points, np.empty(0, dtype=np.int8), cut if cut.share and cut.domain in ("", name) else None)
        for name in recipe.domains
    ]
    if split.kind == "cold_start":
        target = recipe.domains.index(split.target or recipe.domains[-1])
        shared = true_pairs(cleaned[0].user_ids, cleaned[1].user_ids)[:, target]
        labels = cold_labels(shared, cleaned[target].user_ids, split)
        rules[target] = dataclasses.replace(rules[target], user_labels=labels)
    return tuple(rules)


def write_domain(folder: Path, name: str, cleaned: Cleaned, rule: Rule, progress: Progress) -> Written:
    """Split the domain called `name`, write its shards from where they are, and its held-out interactions from here.

    Raises:
        DataError: Nothing is left for training.
    """
    n_items = len(cleaned.numbers)
    first_users = np.cumsum([0, *(len(shard.user_ids) for shard in cleaned.kept)]).tolist()
    rules = [
        dataclasses.replace(rule, user_labels=rule.user_labels[first:last])
        for first, last in itertools.pairwise(first_users)
    ]
    count = ray.remote(count_shard)
    counting = [count.remote(*given, n_items) for given in zip(cleaned.histories, rules, strict=True)]
    parts: list[Parts] = collect(counting, f"split {name}", progress)
    first_rows = np.cumsum([0, *(part.n_train for part in parts)]).tolist()
    if not first_rows[-1]:
        raise DataError(
            "no interaction for training", "at least one", f"domain {name!r}", "check the recipe's split and its data"
        )
    whole = Whole(
        np.logical_or.reduce([part.train_items for part in parts]),
        cleaned.numbers,
        min(part.first_test for part in parts),
        GraphLayout(
            len(cleaned.user_ids), len(cleaned.item_ids), first_rows[-1], cleaned.has_ratings, cleaned.has_times
        ),
    )
    shared, write = ray.put(whole), ray.remote(write_shard)
    tasks = [
        write.remote(
            shard,
            rules[place],
            shared,
            (first_users[place], first_rows[place]),
            (str(folder.absolute()), name, place),
        )
        for place, shard in enumerate(cleaned.histories)
    ]
    done = collect(tasks, f"write {name}", progress)
    join_parts(folder, name, len(tasks), whole.shape)
    _write_rest(folder, name, cleaned, done)
    return _written(cleaned, parts, done)


def count_times(shard: Histories, times: np.ndarray) -> np.ndarray:
    """Count a shard's interactions before each of `times` (m,): (m,) int64; runs on a worker."""
    return np.searchsorted(np.sort(shard.times), times, side="left")


def count_shard(shard: Histories, rule: Rule, n_items: int) -> Parts:
    """Sum up how a shard is divided; runs on a worker. The rule holds the labels of this shard's users only."""
    return count_parts(shard, divide(shard, rule), n_items)


def write_shard(
    shard: Histories, rule: Rule, whole: Whole, offsets: tuple[int, int], place: tuple[str, str, int]
) -> Done:
    """Write the training interactions of one shard; runs on a worker.

    Args:
        shard: The shard, cleaned.
        rule: How it is split, with the labels of this shard's users only.
        whole: What is known of the whole domain.
        offsets: Users and training interactions in the shards before.
        place: Folder of the prepared set, the domain's name, and the number of the shard.
    """
    folder, name, number = place
    labels, new_users, new_items = without_unseen(
        divide(shard, rule), shard.users, shard.items, whole.train_items, rule.split.unseen or "keep"
    )
    train, validation, test = split_tables(shard, labels, whole.numbers, *offsets)
    layout.write_table(layout.train_file(Path(folder), name, number), train, layout.TRAIN)
    users = range(offsets[0], offsets[0] + len(shard.user_ids))
    write_part(layout.graph_part(Path(folder), name, number), train, users, whole.shape)
    later = int((shard.times[labels == TRAIN] > whole.first_test).sum())
    return Done(validation, test, new_users, new_items, int((labels == LEFT_OUT).sum()), later)


def _time_points(split: Split, cleaned: Sequence[Cleaned]) -> tuple[int, int]:
    """Find where validation and test begin; the points are the same for all domains, so that none tells of another."""
    if not all(domain.has_times for domain in cleaned):
        raise DataError("interactions without a time", "a time for each", "split.kind time", "choose another split")
    if split.validation_from is not None and split.test_from is not None:
        return split.validation_from, split.test_from
    shards = [shard for domain in cleaned for shard in domain.histories]
    total = sum(shard.n_rows for domain in cleaned for shard in domain.kept)
    count = ray.remote(count_times)

    def counted(times: np.ndarray) -> np.ndarray:
        shared = ray.put(times)
        counts: np.ndarray = np.sum(ray.get([count.remote(shard, shared) for shard in shards]), axis=0)
        return counts

    test = split.test_share or 0.0
    held_out = test + (split.validation_share or 0.0)
    ranks = tuple(min(int((1 - share) * total + 1e-9), total - 1) for share in (held_out, test))
    validation_from, test_from = find_times(counted, ranks)
    return validation_from, test_from


def _write_rest(folder: Path, name: str, cleaned: Cleaned, done: Sequence[Done]) -> None:
    validation = pa.concat_tables([part.validation for part in done])
    test = pa.concat_tables([part.test for part in done])
    layout.write_table(layout.validation_file(folder, name), validation, layout.HELD_OUT)
    layout.write_table(layout.sealed_file(folder, name), test, layout.HELD_OUT)
    users = {"index": np.arange(len(cleaned.user_ids)), "user_id": cleaned.user_ids}
    layout.write_table(layout.users_file(folder, name), pa.table(users), layout.USERS)


def _written(cleaned: Cleaned, parts: Sequence[Parts], done: Sequence[Done]) -> Written:
    train = sum(part.n_train for part in parts)
    timed = cleaned.has_times and min(part.first_test for part in parts) < NEVER
    return Written(
        train,
        sum(len(part.validation) for part in done),
        sum(len(part.test) for part in done),
        sum(part.new_users for part in done),
        sum(part.new_items for part in done),
        sum(part.left_out for part in done),
        sum(part.later for part in done) / train if timed else None,
    )
