"""All that a report on predicted ratings says, as plain frozen data that JSON can hold."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from raymm import config
from raymm.errors import ArtefactError, ConfigError
from raymm.evaluation.compare import Comparison
from raymm.report.record import storable

FLOOR = "floor"
YARDSTICKS = ("mean", "item_bias", FLOOR, "floor_plus")


@dataclass(frozen=True)
class RatingFacts:
    """What was predicted from what.

    Attributes:
        source: Domain in which users are known.
        target: Domain in which they are new.
        n_source: Ratings of the source.
        n_target: Training ratings of the target.
        n_shared: Users of the target whom training knew in the source.
        n_users: Users of the test.
        n_ratings: Ratings of the test.
        n_new_items: Ratings of the test whose item has no training rating.
        scale: Lowest and highest rating.
    """

    source: str
    target: str
    n_source: int
    n_target: int
    n_shared: int
    n_users: int
    n_ratings: int
    n_new_items: int
    scale: tuple[float, float]


@dataclass(frozen=True)
class ErrorSlice:
    """Root mean squared errors on a part of the test.

    Attributes:
        family: What the parts were made by.
        name: Which part it is.
        n_ratings: Its ratings.
        rmse: Model to error.
    """

    family: str
    name: str
    n_ratings: int
    rmse: Mapping[str, float]


@dataclass(frozen=True)
class Predicted:
    """One rating: the item's title, what the user gave, what was predicted, and the interests that the item picked.

    `picked` has one list for each kind of attention, by the item itself and by its group: shares of the interests.
    """

    title: str
    truth: float
    predicted: float
    floor: float
    picked: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class RatingExample:
    """One user of the test.

    Attributes:
        user: External id.
        history: Titles of source items that he rated highly, the latest last.
        predictions: Some of his ratings in the target.
        interests: For each interest, titles of the target items that pick it most.
    """

    user: str
    history: tuple[str, ...]
    predictions: tuple[Predicted, ...]
    interests: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class RatingRecord:
    """A run of a model of ratings, from its data to its errors on the test.

    Attributes:
        name: Name of the run.
        model: Name of the model; a key of `errors`.
        created: Seconds since the epoch.
        data: Name of the data set.
        facts: What was predicted from what.
        errors: Model to `mae`, `rmse`, `mae_clipped` and `rmse_clipped`, over all ratings.
        saved: Yardstick to what the model saves of a user's mean squared error against it, user by user: `first` is
            the yardstick's, `second` the model's, and a difference above zero is the model's gain.
        parity: What the best epoch on the test would have given, each metric by itself; empty where epochs were not
            kept. Nothing was selected by it.
        slices: Errors by parts of the test.
        ranking: What ranks the target's items for the same users, beside others: name to metrics.
        ranked: Baseline to the model's ranking less the baseline's, user by user.
        observed: What the training observed: gains, gates, choices.
        history: Plain records of the epochs.
        settings: Plain nested settings.
        defaults: The same as they are by default.
        provenance: What was used, by name.
        warnings: What a reader should know before believing the numbers.
        examples: Some users.
    """

    name: str
    model: str
    created: float
    data: str
    facts: RatingFacts
    errors: Mapping[str, Mapping[str, float]]
    saved: Mapping[str, Comparison]
    parity: Mapping[str, float] = field(default_factory=dict)
    slices: tuple[ErrorSlice, ...] = ()
    ranking: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    ranked: Mapping[str, Comparison] = field(default_factory=dict)
    observed: Mapping[str, float] = field(default_factory=dict)
    history: tuple[Mapping[str, Any], ...] = ()
    settings: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, Any] = field(default_factory=dict)
    provenance: Mapping[str, str] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()
    examples: tuple[RatingExample, ...] = ()

    def __post_init__(self) -> None:
        """Check that the model and all yardsticks were judged."""
        missing = {self.model, *YARDSTICKS} - set(self.errors)
        if missing:
            raise ConfigError(
                f"no errors of {', '.join(sorted(missing))}", "the model and all yardsticks", f"report of {self.name!r}"
            )


def write_rating_record(record: RatingRecord, path: Path) -> None:
    """Write a record as JSON; numbers that are not finite become null."""
    text = json.dumps(storable(dataclasses.asdict(record)), indent=1, sort_keys=True, allow_nan=False)
    path.write_text(text + "\n")


def read_rating_record(path: Path) -> RatingRecord:
    """Read a record that `write_rating_record` wrote.

    Raises:
        ArtefactError: The file is missing or holds something else.
    """
    try:
        return config.build(RatingRecord, json.loads(path.read_bytes()), str(path))
    except (OSError, ValueError, RecursionError, ConfigError) as error:
        raise ArtefactError(
            f"unreadable: {error}", "the record of a rating run", str(path), "evaluate the run again"
        ) from error
