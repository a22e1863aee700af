"""Small recipes for the tests of the data layer."""

from __future__ import annotations

from typing import Any

from raymm.config import build
from raymm.data.recipe import Recipe


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
        "interactions": [{"path": "rows.tsv", "columns": columns}],
        "items": [{"path": "items.tsv", "columns": {"domain": "domain", "item": "item", "title": "title"}}],
    }
    return build(Recipe, {**values, **settings})


NAMES = ("domain", "user", "item", "rating", "time", "order")
