"""The recipe: where the sources of a data set lie, and what becomes of them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Literal

from raymm.config import build, check, read_toml, setting
from raymm.data.modality import Modality, check_file_name
from raymm.data.split import Split
from raymm.errors import ConfigError, DataError


@dataclasses.dataclass(frozen=True)
class InteractionColumns:
    """The columns of an interaction file, by the names in its header; an empty name: the file has no such column."""

    user: str = setting("user", "column of external user ids")
    item: str = setting("item", "column of external item ids")
    rating: str = setting("", "column of ratings")
    time: str = setting("", "column of times", unit="s since 1970")
    order: str = setting("", "column of whole numbers that order a user's history")
    label: str = setting("", "column of a given split: 0 training, 1 validation, 2 test")
    domain: str = setting("", "column that names the domain, where one file holds several")

    def __post_init__(self) -> None:
        """Check that the ids have a column."""
        _check_named(self, ("user", "item"))


@dataclasses.dataclass(frozen=True)
class ItemColumns:
    """The columns of an item file, by the names in its header; an empty name: the file has no such column."""

    item: str = setting("item", "column of external item ids")
    title: str = setting("", "column of titles, shown beside recommendations")
    domain: str = setting("", "column that names the domain, where one file holds several")

    def __post_init__(self) -> None:
        """Check that the ids have a column."""
        _check_named(self, ("item",))


@dataclasses.dataclass(frozen=True)
class Layout:
    """How the lines of a delimited text file are cut into fields; a field never holds a line break."""

    delimiter: str = setting("\t", "one character between fields")
    quote: Literal["", '"'] = setting("", "character around fields; empty: every character stands for itself")
    encoding: Literal["utf-8", "latin-1", "cp1252"] = setting("utf-8", "how text is stored")
    names: tuple[str, ...] = setting((), "names of the columns of a file without a header line")

    def __post_init__(self) -> None:
        """Check the delimiter and the names."""
        check(self)
        if len(self.delimiter) != 1 or self.delimiter in '\n\r"':
            raise ConfigError(f"delimiter: found {self.delimiter!r}, expected one character")
        if len(set(self.names)) != len(self.names):
            raise ConfigError(f"names: found {list(self.names)}, expected names that differ")


@dataclasses.dataclass(frozen=True)
class InteractionSource:
    """One file of interactions."""

    path: str = setting(help="file, relative to the recipe; .gz is unpacked while reading")
    domain: str = setting("", "domain of all rows, where no column names it")
    columns: InteractionColumns = setting(InteractionColumns, "columns by name")
    layout: Layout = setting(Layout, "delimiter, quotes, encoding, header")

    def __post_init__(self) -> None:
        """Check that the domain comes from one place."""
        _check_domain(self.domain, self.columns.domain)


@dataclasses.dataclass(frozen=True)
class ItemSource:
    """One file of items."""

    path: str = setting(help="file, relative to the recipe; .gz is unpacked while reading")
    domain: str = setting("", "domain of all rows, where no column names it")
    columns: ItemColumns = setting(ItemColumns, "columns by name")
    layout: Layout = setting(Layout, "delimiter, quotes, encoding, header")

    def __post_init__(self) -> None:
        """Check that the domain comes from one place."""
        _check_domain(self.domain, self.columns.domain)


@dataclasses.dataclass(frozen=True)
class Cleaning:
    """What is left out of the interactions, in this order.

    Malformed rows, low ratings, repeats of an earlier interaction of the same user and item, what is outside the
    k-core of its domain, and short histories.
    """

    max_malformed: float = setting(0.01, "share of malformed rows above which a file is refused", ge=0, le=1)
    min_rating: float | None = setting(None, "a rating of at least this is a positive; left out: every row is")
    core_users: int = setting(5, "k-core: least interactions of a user within a domain", ge=1)
    core_items: int = setting(3, "k-core: least interactions of an item", ge=1)
    min_history: int = setting(3, "after the k-core, users with fewer interactions are left out, once", ge=1)

    def __post_init__(self) -> None:
        """Check the limits."""
        check(self)


@dataclasses.dataclass(frozen=True)
class Overlap:
    """Which of the users active in both domains are known to be one person."""

    shared_ratio: float = setting(0.5, "known share of the users active in both domains", ge=0, le=1)
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
    features: tuple[Modality, ...] = setting((), "modalities of the items")

    def __post_init__(self) -> None:
        """Check what settings must agree on."""
        check_file_name("name", self.name)
        for domain in self.domains:
            check_file_name("domains", domain)
        problems = list(_disagreements(self))
        if problems:
            raise ConfigError("\n".join(problems))


def read_recipe(path: Path) -> Recipe:
    """Read a recipe file.

    Raises:
        ConfigError: The file is missing, is not TOML, or has settings that are unknown, wrong or at odds.
    """
    return build(Recipe, read_toml(path), str(path))


def source_path(recipe_path: Path, source: str) -> Path:
    """Find a source of the recipe at `recipe_path`.

    A relative path belongs to the recipe's folder and must stay in it, `..` and symbolic links followed: a folder
    that was handed on reads nothing else of its new owner's disk. An absolute path is taken as it is written.

    Raises:
        DataError: There is no such file, it is a folder, or a relative path leads out of the recipe's folder.
    """
    root = recipe_path.resolve().parent
    found = (root / source).resolve()
    if not Path(source).is_absolute() and not found.is_relative_to(root):
        raise DataError(
            f"{source!r} leads to {found}",
            f"a file within {root}",
            str(recipe_path),
            "copy the file beside the recipe, or write its absolute path",
        )
    if not found.is_file():
        what = "a folder" if found.is_dir() else "no such file"
        raise DataError(what, "a file to read", str(found), f"mend the path in {recipe_path}")
    return found


def _disagreements(recipe: Recipe) -> list[str]:
    problems = []
    if not 1 <= len(recipe.domains) <= 2 or len(set(recipe.domains)) != len(recipe.domains):
        problems.append(f"domains: found {list(recipe.domains)}, expected one name, or two that differ")
    if not recipe.interactions:
        problems.append("interactions: found no source, expected at least one [[interactions]]")
    constants = [(f"interactions[{place}]", source.domain) for place, source in enumerate(recipe.interactions)]
    constants += [(f"items[{place}]", source.domain) for place, source in enumerate(recipe.items)]
    for source_name, domain in constants:
        if domain and domain not in recipe.domains:
            problems.append(f"{source_name}.domain: found {domain!r}, expected one of {list(recipe.domains)}")
    for place, interactions in enumerate(recipe.interactions):
        by = recipe.split.by
        if by != "line" and not getattr(interactions.columns, by):
            problems.append(f"interactions[{place}].columns.{by}: found nothing, but split.by is {by!r}")
        if recipe.cleaning.min_rating is not None and not interactions.columns.rating:
            problems.append(f"interactions[{place}].columns.rating: found nothing, but cleaning.min_rating is set")
    names = [modality.name for modality in recipe.features]
    if len(set(names)) != len(names):
        problems.append(f"features: found names {names}, expected names that differ")
    columns = [modality.column for modality in recipe.features if modality.column]
    if columns and not recipe.items:
        problems.append(f"items: found no source, but features are computed from the column {columns[0]!r} of items")
    return problems


def _check_named(columns: InteractionColumns | ItemColumns, required: tuple[str, ...]) -> None:
    for name in required:
        if not getattr(columns, name):
            raise ConfigError(f"{name}: found nothing, expected the name of a column")


def _check_domain(constant: str, column: str) -> None:
    if bool(constant) == bool(column):
        found = f"domain = {constant!r} and columns.domain = {column!r}"
        raise ConfigError(f"domain: found {found}, expected one of the two")
