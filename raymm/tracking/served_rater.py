"""What a registered model of ratings holds beside its ranking, as files: ratings, and what reads newcomers."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import torch

from raymm.contracts import Scorer
from raymm.errors import ArtefactError
from raymm.scorers import ItemScorer, load_scorer, save_scorer

if TYPE_CHECKING:  # models that only rank are served without a model's code
    from raymm.models.mimnet.newcomers import Newcomers

FOLDER = "rater"
_LABEL, _ITEMS, _SCORER, _USUAL, _NEWCOMERS = "rater.json", "source_items.parquet", "scorer", "usual", "newcomers"


@dataclass(frozen=True, eq=False)
class ServedRater:
    """Predicted ratings of one domain.

    Attributes:
        source: Name of the domain whose histories are read.
        source_item_ids: (source items,) external ids as strings.
        scorer: Ratings of the target's users for its items.
        scale: Lowest and highest rating.
        source_scale: The same in the source.
        usual: (I,) float32, the rating of each item by somebody of whom nothing is known.
        newcomers: Reads source histories; None where the model cannot.
    """

    source: str
    source_item_ids: np.ndarray
    scorer: Scorer
    scale: tuple[float, float]
    source_scale: tuple[float, float]
    usual: np.ndarray
    newcomers: Newcomers | None

    def __post_init__(self) -> None:
        """Check that all parts speak of the same items, and that numbers are finite."""
        where = f"ratings from {self.source!r}"
        items = {self.scorer.n_items, len(self.usual)}
        sources = {len(self.source_item_ids)}
        if self.newcomers is not None:
            sources |= {len(self.newcomers.style.habits.item_bias), len(self.newcomers.vectors.source_items)}
        if len(items) > 1 or len(sources) > 1:
            found = f"parts for {sorted(items)} items, and for {sorted(sources)} items of the source"
            raise ArtefactError(found, "the same items in all parts", where, "register the model again")
        finite = all(bool(torch.isfinite(array).all()) for array in self.scorer.arrays().values())
        if not finite or not np.isfinite([*self.usual, *self.scale, *self.source_scale]).all():
            raise ArtefactError("NaN or infinity", "finite numbers", where, "train again")


def write_rater(rater: ServedRater, folder: Path) -> None:
    """Write it into a folder, which is made."""
    folder.mkdir(parents=True)
    label = {
        "source": rater.source,
        "scale": list(rater.scale),
        "source_scale": list(rater.source_scale),
        "reads_newcomers": rater.newcomers is not None,
    }
    (folder / _LABEL).write_text(json.dumps(label, indent=1, sort_keys=True) + "\n")
    pd.DataFrame({"item": rater.source_item_ids}, dtype="str").to_parquet(folder / _ITEMS, index=False)
    save_scorer(rater.scorer, folder / _SCORER)
    save_scorer(ItemScorer(torch.from_numpy(rater.usual), n_users=1), folder / _USUAL)
    if rater.newcomers is not None:
        from raymm.tracking.newcomers import save_newcomers

        save_newcomers(rater.newcomers, folder / _NEWCOMERS)


def read_rater(folder: Path) -> ServedRater | None:
    """Read what `write_rater` wrote; None where there is no such folder.

    Raises:
        ArtefactError: A file is missing or holds something else.
    """
    if not folder.is_dir():
        return None
    from raymm.tracking.newcomers import load_newcomers

    try:
        label = json.loads((folder / _LABEL).read_bytes())
        items = pd.read_parquet(folder / _ITEMS)["item"].to_numpy(dtype=object)
        (low, high), (least, most) = label["scale"], label["source_scale"]
        newcomers = load_newcomers(folder / _NEWCOMERS) if label["reads_newcomers"] else None
        usual = load_scorer(folder / _USUAL).scores(torch.zeros(1, dtype=torch.int64))[0].numpy()
        scales = (float(low), float(high)), (float(least), float(most))
        return ServedRater(str(label["source"]), items, load_scorer(folder / _SCORER), *scales, usual, newcomers)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "the ratings of a served domain", str(folder), "register the model again"
        ) from error
