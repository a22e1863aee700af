"""Small recipes for the tests of the data layer."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from raymm.config import build
from raymm.data.formats.known import Kind
from raymm.data.formats.reader import cut
from raymm.data.formats.reading import Reading, settle
from raymm.data.formats.sniff import Head
from raymm.data.raw import Lines
from raymm.data.recipe import Recipe
from raymm.data.rows import interaction_rows, item_rows


def recipe(**settings: Any) -> Recipe:
    """A recipe of two domains in one tab-separated file with every column; `settings` replace its own."""
    columns = {
        "domain": "domain",
        "user": "user",
        "item": "item",
        "rating": "rating",
        "time": "time",
        "order": "order",
    }
    values: dict[str, Any] = {
        "name": "toy",
        "domains": ["a", "b"],
        "split": {"by": "order"},
        "interactions": [{"path": "rows.tsv", "columns": columns}],
        "items": [{"path": "items.tsv", "columns": {"domain": "domain", "item": "item", "title": "title"}}],
    }
    return build(Recipe, {**values, **settings})


NAMES = ("domain", "user", "item", "rating", "time", "order")


def reading(settings: Recipe, names: Sequence[str], kind: Kind = "interactions") -> Reading:
    """How the first source of a kind is read, if its header has these names, tabs between them."""
    source = settings.interactions[0] if kind == "interactions" else settings.items[0]
    texts = [modality.column for modality in settings.features if modality.column] if kind == "items" else []
    head = Head("rows.tsv", ("\t".join(names),))
    found = settle(source, kind, head, texts, settings.cleaning.longest_line)
    return found if found.domain or found.columns["domain"] else dataclasses.replace(found, domain=settings.domains[0])


def interaction_table(
    lines: Lines, settings: Recipe, names: Sequence[str] = NAMES, piece: int = 0, header: bool = False
) -> pa.Table:
    """Typed rows of lines of the first source of interactions."""
    how = reading(settings, names)
    return interaction_rows(cut(lines, how, header), settings, how, 0, piece)


def item_table(lines: Lines, settings: Recipe, names: Sequence[str], piece: int = 0) -> pa.Table:
    """Typed rows of lines of the first source of items."""
    how = reading(settings, names, "items")
    return item_rows(cut(lines, how, False), settings, how, 0, piece)
