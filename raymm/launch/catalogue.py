"""The items of a data set on a cluster: their rows from the item files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from raymm.data.recipe import Recipe
from raymm.data.rows import Fate, item_schema


@dataclass(frozen=True, eq=False)
class Catalogue:
    """The items of one domain, in the order of their numbers.

    Attributes:
        domain: The domain's name.
        item_ids: (I,) external ids.
        rows: `item_schema`, one row an item; null where no item file has it.
        n_without_row: Items that are in no item file.
        n_repeated: Rows of items beyond their first.
    """

    domain: str
    item_ids: pa.Array
    rows: pa.Table
    n_without_row: int
    n_repeated: int


def build_catalogue(
    blocks: Sequence[ray.ObjectRef[pa.Table]], recipe: Recipe, domain: int, item_ids: pa.Array
) -> Catalogue:
    """Find the row of each item: the first in the order of sources and lines.

    Args:
        blocks: Rows of the item files.
        recipe: The recipe.
        domain: Number of the domain.
        item_ids: External ids of the domain's items.
    """
    shared_ids = ray.put(item_ids)
    pick = ray.remote(pick_items)
    found = ray.get([pick.remote(block, domain, shared_ids) for block in blocks])
    empty = item_schema(recipe).empty_table().append_column("number", pa.array([], type=pa.int32()))
    rows = pa.concat_tables([empty, *found]).sort_by(
        [("number", "ascending"), ("piece", "ascending"), ("line", "ascending")]
    )
    numbers, first = np.unique(rows["number"].to_numpy(), return_index=True)
    places = np.full(len(item_ids), -1, dtype=np.int64)
    places[numbers] = first
    one_each = rows.take(pa.array(places, mask=places < 0))
    return Catalogue(recipe.domains[domain], item_ids, one_each, int((places < 0).sum()), len(rows) - len(numbers))


def pick_items(rows: pa.Table, domain: int, item_ids: pa.Array) -> pa.Table:
    """Pick the rows of wanted items from one block, with their `number`; runs on a worker."""
    taken = pc.and_(pc.equal(rows["fate"], int(Fate.TAKEN)), pc.equal(rows["domain"], domain))
    rows = rows.filter(taken)
    rows = rows.append_column("number", pc.index_in(rows["item"], value_set=item_ids))
    return rows.filter(pc.is_valid(rows["number"]))
