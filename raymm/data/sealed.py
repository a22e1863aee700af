"""The test interactions, which nothing but an evaluation may open."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from raymm.contracts import Holdout
from raymm.data import layout
from raymm.data.holdout import build_holdout
from raymm.data.prepared import open_prepared

Hides = Literal["known", "training"]


def open_sealed(folder: Path, hides: Hides = "known") -> tuple[Holdout, ...]:
    """Read the test interactions of a prepared folder.

    Args:
        folder: The prepared folder.
        hides: What is left out of the ranking: `known` all that was known before the test, training and validation
            interactions; `training` training interactions alone, as some published evaluations do.

    Returns:
        One holdout a domain.

    Raises:
        ArtefactError: The folder is missing, is none of a preparation, or is of another schema.
    """
    prepared = open_prepared(folder)
    holdouts = []
    for facts in prepared.domains:
        table = pq.read_table(layout.sealed_file(folder, facts.name))
        targets = (table["user"].to_numpy(), table["item"].to_numpy())
        known = [prepared.train_pairs(facts.name)]
        if hides == "known":
            known.append(prepared.validation_pairs(facts.name))
        holdouts.append(build_holdout(facts.name, facts.n_items, targets, known))
    return tuple(holdouts)
