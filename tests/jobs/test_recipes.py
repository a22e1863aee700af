from __future__ import annotations

from pathlib import Path

import pytest

from raymm.data.formats.known import SNIFF
from raymm.data.recipe import read_recipe
from tests.architecture.source import ROOT

RECIPES = sorted((ROOT / "jobs" / "recipes").glob("*.toml"))


def test_recipes_are_shipped() -> None:
    assert len(RECIPES) >= 9


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_shipped_recipe_is_valid_and_names_no_place_of_ones_own(path: Path) -> None:
    recipe = read_recipe(path)
    sources = (*recipe.interactions, *recipe.items)
    assert sources
    for source in sources:
        assert "://" in source.path or not Path(source.path).is_absolute()
        assert ".." not in source.path
        assert source.format == SNIFF or source.format in source.path or "://" in source.path
