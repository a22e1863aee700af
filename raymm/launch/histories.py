"""The users' histories on a cluster: brought together by user, cleaned and numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from raymm.data.clean import core_rows, k_core
from raymm.data.ids import merged
from raymm.data.recipe import Recipe
from raymm.data.shards import SHARDED, Histories, Kept, histories, keep, mark_shards, tidy
from raymm.errors import DataError
from raymm.launch.sources import Progress, collect


@dataclass(frozen=True, eq=False)
class Shards:
    """The interactions of all domains, spread over the cluster by ranges of users.

    Attributes:
        tables: One object a shard, `SHARDED`, in history order and without repeats.
        item_ids: For each domain, the external ids of its items, in order.
        n_rows: For each domain, the rows of all shards.
    """

    tables: tuple[ray.ObjectRef[pa.Table], ...]
    item_ids: tuple[pa.Array, ...]
    n_rows: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Cleaned:
    """What cleaning leaves of one domain.

    Attributes:
        histories: One object a shard, cleaned; items by their place among all of the domain.
        passes: Passes over the shards until the k-core was found.
        kept: What is left of each shard.
        user_ids: External ids of the users who stay, in order of their numbers.
        item_ids: External ids of the items that stay, in order of their numbers.
        numbers: (I,) int64, the number of each item that stays, -1 for others.
    """

    histories: tuple[ray.ObjectRef[Histories], ...]
    passes: int
    kept: tuple[Kept, ...]
    user_ids: pa.Array
    item_ids: pa.Array
    numbers: np.ndarray

    @property
    def has_ratings(self) -> bool:
        """Every interaction has a rating."""
        return not any(shard.unrated for shard in self.kept)

    @property
    def has_times(self) -> bool:
        """Every interaction has a time."""
        return not any(shard.untimed for shard in self.kept)


def shard_by_user(
    blocks: Sequence[ray.ObjectRef[pa.Table]], recipe: Recipe, n_shards: int, progress: Progress
) -> Shards:
    """Bring the rows of each user together, in history order and without repeats.

    Args:
        blocks: Typed rows, in any order; those that were set aside are left out.
        recipe: The recipe.
        n_shards: Number of shards; each holds an equal range of the hash that numbers users.
        progress: Told how many shards are done.
    """
    cut: Any = ray.remote(scatter).options(num_returns=n_shards)
    parts = [cut.remote(block, recipe.domains, n_shards) for block in blocks]
    by_block = [part if n_shards > 1 else [part] for part in parts]
    join: Any = ray.remote(gather).options(num_returns=2)
    joined = [join.remote(recipe, *(part[shard] for part in by_block)) for shard in range(n_shards)]
    contents = collect([content for _, content in joined], "bring users together", progress)
    return Shards(
        tuple(table for table, _ in joined),
        tuple(merged(ids[domain] for ids, _ in contents) for domain in range(len(recipe.domains))),
        tuple(sum(rows[domain] for _, rows in contents) for domain in range(len(recipe.domains))),
    )


def clean_domain(shards: Shards, recipe: Recipe, domain: int, progress: Progress) -> Cleaned:
    """Find the k-core of one domain, leave out short histories, and number users and items.

    The interactions stay where they are; each pass of the k-core sends a mask of items out and gets counts back.

    Raises:
        DataError: Nothing is left.
    """
    cleaning, item_ids = recipe.cleaning, shards.item_ids[domain]
    number = ray.remote(histories)
    shared_ids = ray.put(item_ids)
    refs = [number.remote(table, domain, shared_ids, recipe.split) for table in shards.tables]
    count = ray.remote(count_items)

    def counted(core: np.ndarray) -> np.ndarray:
        shared_core = ray.put(core)
        total = np.zeros(len(item_ids), dtype=np.int64)
        for counts in ray.get([count.remote(ref, shared_core, cleaning.core_users) for ref in refs]):
            total += counts
        return total

    core, passes = k_core(counted, len(item_ids), cleaning.core_items)
    clean: Any = ray.remote(keep).options(num_returns=2)
    shared_core = ray.put(core)
    cleaned = [clean.remote(ref, shared_core, cleaning) for ref in refs]
    kept = collect([numbers for _, numbers in cleaned], f"clean {recipe.domains[domain]}", progress)
    staying = np.sum([shard.item_counts for shard in kept], axis=0) > 0
    if not staying.any():
        raise DataError(
            f"nothing is left of {shards.n_rows[domain]:,} interactions",
            f"users with at least {max(cleaning.core_users, cleaning.min_history)} interactions with items that have "
            f"at least {cleaning.core_items}",
            f"domain {recipe.domains[domain]!r}",
            "lower cleaning.core_users, core_items or min_history, or bring more interactions",
        )
    return Cleaned(
        tuple(left for left, _ in cleaned),
        passes,
        tuple(kept),
        pa.concat_arrays([shard.user_ids for shard in kept]),
        item_ids.filter(pa.array(staying)),
        np.where(staying, np.cumsum(staying) - 1, -1),
    )


def scatter(rows: pa.Table, domains: tuple[str, ...], n_shards: int) -> list[pa.Table] | pa.Table:
    """Cut one block of interactions by shard; runs on a worker, whose single result is no list."""
    marked = mark_shards(rows, domains, n_shards)
    parts = [marked.filter(pc.equal(marked["shard"], shard)) for shard in range(n_shards)]
    return parts if n_shards > 1 else parts[0]


def gather(recipe: Recipe, *parts: pa.Table) -> tuple[pa.Table, tuple[list[pa.Array], list[int]]]:
    """Bring one shard together and tidy it; runs on a worker.

    Returns:
        The shard; for each domain its items, each once, and the number of its rows.
    """
    given = recipe.split.kind == "given"
    rows = tidy(pa.concat_tables([SHARDED.empty_table(), *parts]), recipe.cleaning.repeats, given)
    by_domain = [rows.filter(pc.equal(rows["domain"], domain)) for domain in range(len(recipe.domains))]
    return rows, ([merged(part["item"].chunks) for part in by_domain], [len(part) for part in by_domain])


def count_items(shard: Histories, core_items: np.ndarray, least: int) -> np.ndarray:
    """Count the interactions of each item with users who have enough; runs on a worker."""
    rows = core_rows(shard.users, shard.items, core_items, least)
    return np.bincount(shard.items[rows], minlength=len(core_items))
