"""The test interactions, which nothing but an evaluation may open."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from raymm.contracts import Holdout, RatingHoldout
from raymm.data import layout
from raymm.data.holdout import build_holdout, build_rating_holdout, positive_pairs
from raymm.data.prepared import open_prepared, with_rows

Hides = Literal["known", "training"]


def open_sealed(folder: Path, hides: Hides = "known") -> tuple[Holdout, ...]:
    """Read the test interactions of a prepared folder as what a ranking should find.

    Args:
        folder: The prepared folder.
        hides: What is left out of the ranking: `known` all that was known before the test, training and validation
            interactions; `training` training interactions alone, as some published evaluations do.

    Returns:
        One holdout a domain, in order; domains in which nothing is held out are left out.

    Raises:
        ArtefactError: The folder is missing, is none of a preparation, or is of another schema.
        DataError: Nothing is held out that counts as positive.
    """
    prepared = open_prepared(folder)
    holdouts = []
    for facts in with_rows(folder, prepared.domains, "n_test"):
        targets = positive_pairs(pq.read_table(layout.sealed_file(folder, facts.name)), prepared.split.positive_rating)
        known = [prepared.train_pairs(facts.name)]
        if hides == "known":
            known.append(prepared.validation_pairs(facts.name))
        holdouts.append(build_holdout(facts.name, facts.n_items, targets, known))
    return tuple(holdouts)


def open_sealed_ratings(folder: Path) -> tuple[RatingHoldout, ...]:
    """Read the test interactions of a prepared folder as ratings to predict, low ones too.

    Returns:
        One holdout a domain, in order; domains in which nothing is held out are left out.

    Raises:
        ArtefactError: The folder is missing, is none of a preparation, or is of another schema.
        DataError: Nothing is held out, or not every held-out interaction has a rating.
    """
    return tuple(
        build_rating_holdout(facts.name, pq.read_table(layout.sealed_file(folder, facts.name)))
        for facts in with_rows(folder, open_prepared(folder).domains, "n_test")
    )
