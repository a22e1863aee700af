from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from raymm.artefacts import hash_file
from raymm.data.recipe import Recipe
from raymm.errors import DataError
from raymm.launch.feature_sources import find_feature_sources
from tests.data.recipes import recipe


def vectors(path: str) -> Recipe:
    return recipe(features=[{"name": "image", "encoder": "vectors", "path": path}])


def test_every_file_is_found_and_hashed(tmp_path: Path) -> None:
    for domain in ("a", "b"):
        np.save(tmp_path / f"{domain}.npy", np.ones((2, 2)))
    (tmp_path / "b.ids.txt").write_text("x\ny")
    sources = find_feature_sources(tmp_path / "recipe.toml", vectors("{domain}.npy"), tmp_path / "out")
    assert sources.vectors == {("image", domain): tmp_path / f"{domain}.npy" for domain in ("a", "b")}
    assert sources.marks == {name: hash_file(tmp_path / name) for name in ("a.npy", "b.npy", "b.ids.txt")}


def test_a_file_out_of_bounds_or_gone_is_an_error(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match="a file within"):
        find_feature_sources(inside / "recipe.toml", vectors("../a.npy"), tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        find_feature_sources(inside / "recipe.toml", vectors("a.npy"), tmp_path / "out")
