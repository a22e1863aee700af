from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from raymm.data.images import find_images, hash_images, image_folder
from raymm.errors import DataError


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    folder = tmp_path / "set"
    (folder / "posters" / "deep").mkdir(parents=True)
    for name in ("1.jpg", "ü 2.jpg", "deep/3.jpg", "notes.txt"):
        (folder / "posters" / name).write_text(name)
    (tmp_path / "secret.jpg").write_text("secret")
    (folder / "posters" / "link.jpg").symlink_to(tmp_path / "secret.jpg")
    (folder / "posters" / "4.jpg").mkdir()
    return folder / "recipe.toml"


def test_each_item_has_its_image_or_a_reason(recipe: Path) -> None:
    ids = ["1", "ü 2", "deep/3", "4", "5", "link", "../../secret", "/etc/passwd", "a\0b", "x" * 300]
    paths, reasons = find_images(recipe, "posters/{item}.jpg", "films", ids, [None] * len(ids))
    posters = recipe.parent / "posters"
    assert paths[:3] == [str(posters / name) for name in ("1.jpg", "ü 2.jpg", "deep/3.jpg")]
    assert not any(paths[3:])
    assert reasons[:5] == ["", "", "", "no such file", "no such file"]
    assert reasons[5:8] == ["path leads out of the folder of images"] * 2 + ["no such file"]
    assert all(reason.startswith("no ") for reason in reasons[8:])


def test_columns_and_domains_are_put_in_place(recipe: Path) -> None:
    columns = ["posters/1.jpg", "", None, "../secret.jpg"]
    paths, reasons = find_images(recipe, f"{recipe.parent}/{{column}}", "films", list("abcd"), columns)
    assert [bool(path) for path in paths] == [True, False, False, False]
    assert reasons[1:] == ["no path in the item files"] * 2 + ["path leads out of the folder of images"]
    shutil.copytree(recipe.parent / "posters", recipe.parent / "all" / "films")
    paths, _ = find_images(recipe, "all/{domain}/{item}.jpg", "films", ["1"], [None])
    assert paths == [str(recipe.parent / "all" / "films" / "1.jpg")]


def test_the_folder_stays_beside_the_recipe(recipe: Path) -> None:
    assert image_folder(recipe, "posters/deep/x{item}.jpg") == recipe.parent / "posters" / "deep"
    assert image_folder(recipe, f"{recipe.parent.parent}/{{item}}.jpg") == recipe.parent.parent
    with pytest.raises(DataError, match="a folder within"):
        image_folder(recipe, "../{item}.jpg")
    with pytest.raises(DataError, match="no such folder"):
        image_folder(recipe, "covers/{item}.jpg")


def test_the_hash_hangs_on_names_and_bytes_of_images_alone(recipe: Path, tmp_path: Path) -> None:
    folder, pattern = recipe.parent / "posters", "posters/{item}.jpg"
    before = hash_images(folder, pattern)
    (folder / "notes.txt").write_text("changed")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    assert hash_images(folder, pattern) == hash_images(copy, pattern) == before
    (copy / "1.jpg").rename(copy / "9.jpg")
    (folder / "1.jpg").write_text("changed")
    assert len({before, hash_images(folder, pattern), hash_images(copy, pattern)}) == 3
