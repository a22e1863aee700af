"""The test interactions, which nothing but an evaluation may open."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from raymm.contracts import Holdout
from raymm.data import layout
from raymm.data.holdout import build_holdout
from raymm.data.prepared import open_prepared


def open_sealed(folder: Path) -> tuple[Holdout, ...]:
    """Read the test interactions of a prepared folder.

    Returns:
        One holdout a domain; training and validation interactions are hidden from the ranking.

    Raises:
        ArtefactError: The folder is missing, is none of a preparation, or is of another schema.
    """
    prepared = open_prepared(folder)
    holdouts = []
    for facts in prepared.domains:
        table = pq.read_table(layout.sealed_file(folder, facts.name))
        targets = (table["user"].to_numpy(), table["item"].to_numpy())
        known = [prepared.train_pairs(facts.name), prepared.validation_pairs(facts.name)]
        holdouts.append(build_holdout(facts.name, facts.n_items, targets, known))
    return tuple(holdouts)
