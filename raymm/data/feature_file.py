"""The files of one modality of one domain while they are filled, on disk from the start."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from raymm.data import layout
from raymm.data.filling import fill_missing, not_finite, to_unit_length
from raymm.data.ids import rank_hash
from raymm.data.modality import Modality
from raymm.errors import DataError

_NAMED = 5  # items that a message names


class FeatureFile:
    """Takes vectors in any order and leaves one row an item.

    Args:
        folder: The prepared folder.
        domain: Name of the domain.
        modality: The modality, with its rules.
        item_ids: (I,) external ids.
        width: Columns F that the encoder or the file has.

    Raises:
        DataError: The recipe says another number of columns.
    """

    def __init__(self, folder: Path, domain: str, modality: Modality, item_ids: pa.Array, width: int) -> None:
        self._where = f"modality {modality.name!r} of domain {domain!r}"
        if modality.dimension not in (None, width):
            raise DataError(
                f"vectors of {width} columns",
                f"dimension = {modality.dimension}, as the recipe says",
                self._where,
                "mend `dimension`, or leave it out",
            )
        self._modality = modality
        self._item_ids = item_ids
        self._path, self._mask_path = layout.feature_files(folder, domain, modality.name)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        shape = (len(item_ids), width)
        self._values = np.lib.format.open_memmap(self._path, mode="w+", dtype=np.dtype(modality.dtype), shape=shape)
        self._present = np.zeros(len(item_ids), dtype=bool)
        self._reasons: dict[int, str] = {}

    @property
    def width(self) -> int:
        """Columns F."""
        return int(self._values.shape[1])

    def put(
        self, items: np.ndarray, values: np.ndarray, present: np.ndarray, reasons: Sequence[str] | None = None
    ) -> None:
        """Put the vectors of some items.

        Args:
            items: (n,) numbers of items.
            values: (n, F) vectors; those of items that lack the modality are not looked at.
            present: (n,) bool.
            reasons: n strings, why an item lacks the modality.

        Raises:
            DataError: A vector of another width, or one that is not finite.
        """
        if values.shape != (len(items), self.width):
            found = f"vectors {values.shape} for items such as {self._named(items)}"
            raise DataError(found, f"{(len(items), self.width)}", self._where)
        if reasons is not None:
            self._reasons.update((int(items[place]), reasons[place]) for place in np.flatnonzero(~present).tolist())
        items, values = items[present], values[present]
        dtype = "float32" if self._modality.l2 else self._modality.dtype
        wrong = not_finite(values, dtype)
        if wrong.any():
            raise DataError(
                f"NaN, infinity, or too large a number in {wrong.sum()} vectors: items {self._named(items[wrong])}",
                f"finite numbers of {dtype}",
                self._where,
                "mend these vectors, or leave them out: their items then count as missing",
            )
        if self._modality.noise and len(items):
            values = self._noisy(items, values)
        self._values[items] = to_unit_length(values) if self._modality.l2 else values
        self._present[items] = True

    def finish(self, reason: str) -> list[tuple[str, str]]:
        """Fill what is missing, and close the files.

        Args:
            reason: Why an item lacks the modality, where nobody said it of the item itself.

        Returns:
            External id and reason of each item that lacks it.

        Raises:
            DataError: More items lack it than the recipe allows.
        """
        absent = np.flatnonzero(~self._present)
        if len(absent) > self._modality.max_missing * len(self._present):
            raise DataError(
                f"{len(absent):,} of {len(self._present):,} items without {self._modality.name!r}, "
                f"for example {self._named(absent)}{self._why(absent)}",
                f"at most {self._modality.max_missing:.2%}",
                self._where,
                "complete what the modality is made from, or raise max_missing of this modality",
            )
        fill_missing(self._values, self._present, self._modality.fill)
        self._values.flush()
        np.save(self._mask_path, self._present)
        ids = self._item_ids.take(pa.array(absent)).to_pylist()
        return [(name, self._reasons.get(int(item), reason)) for name, item in zip(ids, absent, strict=True)]

    def _noisy(self, items: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Add to each vector one of a random direction; the draw hangs on the item's id, modality and seed only."""
        names = self._item_ids.take(pa.array(items)).to_pylist()
        seeds = rank_hash(names, f"noise of {self._modality.name}, seed {self._modality.seed}")
        drawn = np.stack([np.random.default_rng(seed).standard_normal(self.width) for seed in seeds])
        lengths = np.linalg.norm(values.astype(np.float64), axis=1, keepdims=True)
        scale = self._modality.noise * lengths / np.linalg.norm(drawn, axis=1, keepdims=True)
        noisy: np.ndarray = (values + scale * drawn).astype(np.float32)
        return noisy

    def _why(self, absent: np.ndarray) -> str:
        counts = Counter(reason for item in absent if (reason := self._reasons.get(int(item))))
        return "".join(f"; {count:,} x {reason}" for reason, count in counts.most_common(3))

    def _named(self, items: np.ndarray) -> Sequence[str]:
        ids: Sequence[str] = self._item_ids.take(pa.array(items[:_NAMED])).to_pylist()
        return ids
