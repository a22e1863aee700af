"""The recipe: where the sources of a data set lie, and what becomes of them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from raymm.config import build, check, merged, read_toml, setting
from raymm.data.modality import Modality, check_file_name
from raymm.data.source import InteractionSource, ItemSource
from raymm.data.split import Split, split_disagreements
from raymm.data.storage import source_path as source_path
from raymm.data.truncation import Truncation, truncation_disagreements
from raymm.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """What is left out of the interactions, in this order.

    Malformed rows, low ratings, repeats of an interaction of the same user and item, what is outside the k-core of its
    domain, and short histories.
    """

    max_malformed: float = setting(0.01, "share of malformed rows above which a file is refused", ge=0, le=1)
    longest_line: int = setting(2**20, "a longer line is malformed; its length is noted", unit="B", ge=1)
    latest_time: int = setting(4_102_444_800, "a later time is malformed; 4102444800 is the year 2100", unit="s", ge=0)
    min_rating: float | None = setting(None, "a rating of at least this is a positive; left out: every row is")
    repeats: Literal["first", "last"] = setting(
        "first", "which interaction of a user with an item stays; of a given split, the first in the earliest part"
    )
    core_users: int = setting(5, "k-core: least interactions of a user within a domain", ge=1)
    core_items: int = setting(3, "k-core: least interactions of an item", ge=1)
    min_history: int = setting(3, "after the k-core, users with fewer interactions are left out, once", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Which of the users active in both domains are known to be one person."""

    shared_ratio: float | None = setting(
        None,
        "known share of the users active in both domains; left out: 0.5, and 1 for a split of cold_start",
        ge=0,
        le=1,
    )
    seed: int = setting(0, "seed of the draw; for one seed a smaller share lies within a larger one", ge=0)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """A data set as data: sources, cleaning, split, overlap, features."""

    name: str = setting(help="name of the data set")
    domains: tuple[str, ...] = setting(help="one domain, or two; rows of other domains are left out")
    interactions: tuple[InteractionSource, ...] = setting(help="files of interactions")
    items: tuple[ItemSource, ...] = setting((), "files of items")
    cleaning: Cleaning = setting(Cleaning, "what is left out")
    split: Split = setting(Split, "what is held out")
    overlap: Overlap = setting(Overlap, "which shared users are known")
    truncation: Truncation = setting(Truncation, "whose training histories are cut short, for experiments")
    features: tuple[Modality, ...] = setting((), "modalities of the items")

    def __post_init__(self) -> None:
        """Check what settings must agree on."""
        check_file_name("name", self.name)
        for domain in self.domains:
            check_file_name("domains", domain)
        problems = list(_disagreements(self))
        if problems:
            raise ConfigError("\n".join(problems))


@dataclasses.dataclass(frozen=True)
class RecipeFile:
    """A recipe and where its file stands, which its relative paths start from."""

    path: Path
    recipe: Recipe


def read_recipe(path: Path, changes: Mapping[str, Any] | None = None) -> Recipe:
    """Read a recipe file.

    Args:
        path: The file.
        changes: Nested settings to lay over those of the file.

    Raises:
        ConfigError: The file is missing, is not TOML, or has settings that are unknown, wrong or at odds.
    """
    try:
        return build(Recipe, merged(read_toml(path), changes or {}), str(path))
    except ConfigError as error:
        remedy = error.remedy if error.expected else "mend these settings of the recipe"
        raise ConfigError(error.found, error.expected, error.where, remedy) from error


def needed_columns(recipe: Recipe) -> dict[str, str]:
    """Return what every source of interactions must have a column for, and the setting that asks for it."""
    needs: dict[str, str] = {}
    if recipe.split.by not in (None, "line"):
        needs[recipe.split.by] = f"split.by is {recipe.split.by!r}"
    if recipe.cleaning.min_rating is not None:
        needs["rating"] = "cleaning.min_rating is set"
    if recipe.split.positive_rating is not None:
        needs["rating"] = "split.positive_rating is set"
    if recipe.split.kind == "given":
        needs["label"] = "split.kind is 'given'"
    return needs


def _disagreements(recipe: Recipe) -> list[str]:
    problems = []
    if not 1 <= len(recipe.domains) <= 2 or len(set(recipe.domains)) != len(recipe.domains):
        problems.append(f"domains: found {list(recipe.domains)}, expected one name, or two that differ")
    if not recipe.interactions:
        problems.append("interactions: found no source, expected at least one [[interactions]]")
    sources: list[tuple[str, InteractionSource | ItemSource]]
    sources = [(f"interactions[{place}]", source) for place, source in enumerate(recipe.interactions)]
    sources += [(f"items[{place}]", source) for place, source in enumerate(recipe.items)]
    for name, source in sources:
        if source.domain and source.domain not in recipe.domains:
            problems.append(f"{name}.domain: found {source.domain!r}, expected one of {list(recipe.domains)}")
        if not source.domain and not source.columns.domain and len(recipe.domains) != 1:
            problems.append(f"{name}.domain: found nothing, expected domain or columns.domain")
    problems += split_disagreements(recipe.split, recipe.domains, recipe.cleaning.min_rating)
    problems += truncation_disagreements(recipe.truncation, recipe.domains)
    if recipe.split.kind == "cold_start" and recipe.overlap.shared_ratio not in (None, 1.0):
        shared = f"{recipe.overlap.shared_ratio}, but users who are cold in one domain must be known in the other"
        problems.append(f"overlap.shared_ratio: found {shared}, expected 1, or nothing")
    names = [modality.name for modality in recipe.features]
    if len(set(names)) != len(names):
        problems.append(f"features: found names {names}, expected names that differ")
    columns = [modality.column for modality in recipe.features if modality.column]
    if columns and not recipe.items:
        problems.append(f"items: found no source, but features are computed from the column {columns[0]!r} of items")
    return problems
