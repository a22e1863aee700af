"""What a preparation did: what it read, what it left out and why, and what came of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class SourceSummary:
    """One file.

    Attributes:
        path: As the recipe names it.
        rows: Lines that are neither blank nor the header.
        malformed: Rows set aside, to be found in `set_aside.parquet` with line number and reason.
        other_domain: Rows of domains that the recipe does not name.
        low_rating: Rows below the least rating of a positive.
        format: Name of the format that it was read as.
    """

    path: str
    rows: int
    malformed: int
    other_domain: int
    low_rating: int
    format: str = ""


@dataclasses.dataclass(frozen=True)
class DomainSummary:
    """One domain.

    Attributes:
        name: The domain's name.
        interactions: Positives that were read.
        repeats: Of these, repeats of an earlier interaction of the same user and item.
        outside_core: Of the rest, outside the k-core.
        short_history: Of the rest, of users with too short a history.
        core_passes: Passes over the data until the k-core was found.
        users: Users that are left.
        items: Items that are left.
        train: Training interactions.
        validation: Validation interactions.
        test: Test interactions.
        items_without_row: Items that are in no item file; they stay, without title and features.
        repeated_item_rows: Rows of an item beyond its first, which are not used.
        missing: Modality to the number of items that lack it.
        new_users: Held-out interactions of users who have none in training, left out or not.
        new_items: Held-out interactions of items that have none in training, left out or not.
        left_out: How many of either the split left out.
        train_after_test: Share of the training interactions that are later than the earliest test interaction; None
            where not every interaction has a time.
    """

    name: str
    interactions: int
    repeats: int
    outside_core: int
    short_history: int
    core_passes: int
    users: int
    items: int
    train: int
    validation: int
    test: int
    items_without_row: int
    repeated_item_rows: int
    missing: Mapping[str, int]
    new_users: int = 0
    new_items: int = 0
    left_out: int = 0
    train_after_test: float | None = None


@dataclasses.dataclass(frozen=True)
class FeatureSummary:
    """One modality of one domain's items.

    Attributes:
        domain: The domain's name.
        modality: The modality's name.
        encoder: What made the vectors.
        columns: Numbers of a vector.
        missing: Items that lack the modality.
        unused: Vectors of a ready-made file that belong to no item.
        shards: Shards that a model encoded; 0 where none was needed.
        reused: Of these, shards that an interrupted preparation had finished.
    """

    domain: str
    modality: str
    encoder: str
    columns: int
    missing: int
    unused: int = 0
    shards: int = 0
    reused: int = 0


@dataclasses.dataclass(frozen=True)
class PreparedSummary:
    """A whole preparation.

    Attributes:
        name: Name of the data set.
        folder: Where it stands.
        fingerprint: Hash of sources and recipe.
        interaction_files: One entry a file.
        item_files: One entry a file.
        domains: One entry a domain.
        true_pairs: Users active in both domains.
        shared: Those of them that training knows to be one person.
        seconds: Time it took.
        reused: The folder was there already, prepared from the same sources by the same recipe.
        features: One entry a modality and domain.
    """

    name: str
    folder: str
    fingerprint: str
    interaction_files: tuple[SourceSummary, ...]
    item_files: tuple[SourceSummary, ...]
    domains: tuple[DomainSummary, ...]
    true_pairs: int
    shared: int
    seconds: float
    reused: bool = False
    features: tuple[FeatureSummary, ...] = ()


def split_notes(domain: DomainSummary) -> list[str]:
    """Say what one should know of a domain's split before believing figures that rest on it."""
    notes = []
    if domain.train_after_test:
        notes.append(
            f"{domain.name}: {domain.train_after_test:.0%} of the training interactions are later than the earliest "
            "test interaction, as with every split by user; a split in time (split.kind = 'time') has none"
        )
    if domain.left_out:
        notes.append(
            f"{domain.name}: {domain.left_out:,} held-out interactions of users or items new to it are left out"
        )
    elif domain.new_users or domain.new_items:
        notes.append(
            f"{domain.name}: held out are {domain.new_users:,} interactions of users and {domain.new_items:,} of items "
            "that training does not know"
        )
    return notes


def read_summary(values: Mapping[str, Any]) -> PreparedSummary:
    """Rebuild a summary from the plain data of a manifest."""
    return PreparedSummary(
        **{
            **values,
            "interaction_files": tuple(SourceSummary(**entry) for entry in values["interaction_files"]),
            "item_files": tuple(SourceSummary(**entry) for entry in values["item_files"]),
            "domains": tuple(DomainSummary(**entry) for entry in values["domains"]),
            "features": tuple(FeatureSummary(**entry) for entry in values["features"]),
        }
    )
