"""The items of a data set on a cluster: their rows from the item files, and features computed from their texts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray

from raymm.data import layout
from raymm.data.features import TextEncoder, encode_texts, fill_missing, fit_text_encoder
from raymm.data.recipe import Recipe
from raymm.data.rows import Fate, item_schema, modality_column
from raymm.errors import DataError
from raymm.launch.sources import Progress, collect

BATCH_ITEMS = 4_096  # items encoded by a worker at a time


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


def write_features(
    folder: Path, recipe: Recipe, catalogues: Sequence[Catalogue], progress: Progress
) -> list[dict[str, int]]:
    """Compute and write every modality of every domain.

    One encoder a modality is fitted on the items of all domains together, so that vectors of two domains can be
    compared; Ray Data encodes the texts in batches.

    Returns:
        For each domain, modality to the number of items that lack it.

    Raises:
        DataError: Too many items lack a modality, or the texts are too poor for its dimension.
    """
    if not recipe.features:
        return [{} for _ in catalogues]
    texts = pa.concat_tables([catalogue.rows for catalogue in catalogues]).select(
        [modality_column(modality.name) for modality in recipe.features]
    )
    texts = pa.table([column.fill_null("") for column in texts.columns], names=texts.column_names)
    fit = ray.remote(fit_modality)
    shared_texts = ray.put(texts)
    encoders = [fit.remote(shared_texts, recipe, number) for number in range(len(recipe.features))]
    collect(encoders, "fit encoders", progress)
    arrays = [_NewArrays(folder, recipe, catalogue) for catalogue in catalogues]
    ends = np.cumsum([len(catalogue.item_ids) for catalogue in catalogues])
    done = 0
    for batch in _encoded(texts, recipe, encoders):
        places = batch["place"]
        domains = np.searchsorted(ends, places, side="right")
        for domain, target in enumerate(arrays):
            inside = domains == domain
            target.put(places[inside] - (ends[domain] - len(target.item_ids)), batch, inside)
        done += len(places)
        progress("encode items", done, len(texts))
    return [target.finish() for target in arrays]


def fit_modality(texts: pa.Table, recipe: Recipe, number: int) -> TextEncoder:
    """Fit the encoder of one modality; runs on a worker."""
    modality = recipe.features[number]
    column = texts[modality_column(modality.name)].to_pylist()
    return fit_text_encoder(column, modality.dimension, modality.seed, f"features[{number}] ({modality.name!r})")


def encode_batch(
    batch: pa.Table, modalities: Sequence[str], encoders: Sequence[ray.ObjectRef[TextEncoder]]
) -> dict[str, np.ndarray]:
    """Encode the texts of some items in every modality; runs on a worker."""
    encoded = {"place": batch["place"].to_numpy()}
    for modality, encoder in zip(modalities, ray.get(list(encoders)), strict=True):
        values, present = encode_texts(encoder, batch[modality_column(modality)].to_pylist())
        encoded[_values(modality)], encoded[_present(modality)] = values, present
    return encoded


class _NewArrays:
    """The feature files of one domain while they are filled, on disk from the start."""

    def __init__(self, folder: Path, recipe: Recipe, catalogue: Catalogue) -> None:
        self.item_ids = catalogue.item_ids
        self._domain = catalogue.domain
        self._recipe = recipe
        self._files = {m.name: layout.feature_files(folder, catalogue.domain, m.name) for m in recipe.features}
        self._values: dict[str, np.memmap] = {}
        self._present = {m.name: np.zeros(len(catalogue.item_ids), dtype=bool) for m in recipe.features}
        for modality in recipe.features:
            path = self._files[modality.name][0]
            path.parent.mkdir(parents=True, exist_ok=True)
            self._values[modality.name] = np.lib.format.open_memmap(
                path, mode="w+", dtype=np.float32, shape=(len(catalogue.item_ids), modality.dimension)
            )

    def put(self, items: np.ndarray, batch: dict[str, np.ndarray], rows: np.ndarray) -> None:
        """Put the marked rows of a batch where they belong."""
        for modality in self._recipe.features:
            self._values[modality.name][items] = batch[_values(modality.name)][rows]
            self._present[modality.name][items] = batch[_present(modality.name)][rows]

    def finish(self) -> dict[str, int]:
        """Fill what is missing, and close the files; return how many items lack each modality."""
        missing = {}
        for modality in self._recipe.features:
            present = self._present[modality.name]
            absent = np.flatnonzero(~present)
            if len(absent) > modality.max_missing * len(present):
                some = self.item_ids.take(pa.array(absent[:5])).to_pylist()
                raise DataError(
                    f"{len(absent):,} of {len(present):,} items without {modality.name!r}, for example {some}",
                    f"at most {modality.max_missing:.2%}",
                    f"domain {self._domain!r}, column {modality.column!r} of the item files",
                    "complete the item files, or raise max_missing of this modality",
                )
            fill_missing(self._values[modality.name], present)
            self._values[modality.name].flush()
            np.save(self._files[modality.name][1], present)
            missing[modality.name] = len(absent)
        return missing


def _encoded(
    texts: pa.Table, recipe: Recipe, encoders: Sequence[ray.ObjectRef[TextEncoder]]
) -> Iterable[dict[str, np.ndarray]]:
    texts = texts.append_column("place", pa.array(np.arange(len(texts))))
    blocks = [texts.slice(start, BATCH_ITEMS) for start in range(0, len(texts), BATCH_ITEMS)]
    modalities = [modality.name for modality in recipe.features]
    encode: Callable[..., Any] = encode_batch
    dataset = ray.data.from_arrow(blocks).map_batches(
        encode,
        batch_size=None,
        batch_format="pyarrow",
        fn_kwargs={"modalities": modalities, "encoders": list(encoders)},
    )
    batches: Iterable[dict[str, np.ndarray]] = dataset.iter_batches(batch_size=None, batch_format="numpy")
    return batches


def _values(modality: str) -> str:
    return f"values of {modality}"


def _present(modality: str) -> str:
    return f"presence of {modality}"
