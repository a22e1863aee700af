from __future__ import annotations

import uuid
from pathlib import Path

import fsspec
import numpy as np
import pytest

from raymm.artefacts import hash_file
from raymm.data.recipe import Recipe
from raymm.data.vectors import read_vectors
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


def test_vectors_in_a_store_are_copied_with_the_ids_beside_them(tmp_path: Path) -> None:
    folder = f"memory://{uuid.uuid4().hex}"
    np.save(tmp_path / "a.npy", np.arange(4.0).reshape(2, 2))
    for name, content in (("a.npy", (tmp_path / "a.npy").read_bytes()), ("a.ids.txt", b"x\ny\n")):
        with fsspec.open(f"{folder}/{name}", "wb") as stream:
            stream.write(content)
    chosen = recipe(domains=["a"], features=[{"name": "image", "encoder": "vectors", "path": folder + "/a.npy"}])
    sources = find_feature_sources(tmp_path / "recipe.toml", chosen, tmp_path / "out")
    copy = sources.vectors["image", "a"]
    assert copy.is_relative_to(sources.work)
    assert sources.marks.keys() == {f"{folder}/a.npy", f"{folder}/a.ids.txt"}
    assert sources.marks[f"{folder}/a.npy"] == hash_file(tmp_path / "a.npy")
    found = read_vectors(copy)
    assert found.ids is not None
    assert (found.ids.to_pylist(), found.values.tolist()) == (["x", "y"], [[0, 1], [2, 3]])
    fsspec.filesystem("memory").rm(f"{folder}/a.ids.txt")
    sources = find_feature_sources(tmp_path / "recipe.toml", chosen, tmp_path / "out")
    assert sources.marks.keys() == {f"{folder}/a.npy"}
    assert read_vectors(sources.vectors["image", "a"]).ids is None


def test_a_file_out_of_bounds_or_gone_is_an_error(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    np.save(tmp_path / "a.npy", np.ones((2, 2)))
    with pytest.raises(DataError, match="a file within"):
        find_feature_sources(inside / "recipe.toml", vectors("../a.npy"), tmp_path / "out")
    with pytest.raises(DataError, match="no such file"):
        find_feature_sources(inside / "recipe.toml", vectors("a.npy"), tmp_path / "out")
