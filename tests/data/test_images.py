from __future__ import annotations

import shutil
import uuid
from pathlib import Path

import fsspec
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
    before = hash_images(recipe, pattern)
    (folder / "notes.txt").write_text("changed")
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy / "posters")
    assert hash_images(recipe, pattern) == hash_images(copy / "recipe.toml", pattern) == before
    (copy / "posters" / "1.jpg").rename(copy / "posters" / "9.jpg")
    (folder / "1.jpg").write_text("changed")
    assert len({before, hash_images(recipe, pattern), hash_images(copy / "recipe.toml", pattern)}) == 3


def test_images_in_a_store_are_found_by_their_url() -> None:
    folder = f"memory://{uuid.uuid4().hex}/posters"
    for name in ("1.jpg", "deep/ü 2.jpg", "notes.txt"):
        with fsspec.open(f"{folder}/{name}", "wb") as stream:
            stream.write(name.encode())
    pattern, recipe = folder + "/{item}.jpg", Path("recipe.toml")
    ids = ["1", "deep/ü 2", "3", "../posters/1"]
    paths, reasons = find_images(recipe, pattern, "films", ids, [None] * 4)
    assert paths == [f"{folder}/1.jpg", f"{folder}/deep/ü 2.jpg", "", ""]
    assert reasons == ["", "", "no such file", "no such file"]
    paths, reasons = find_images(recipe, folder + "/{column}", "films", ["a", "b"], ["1.jpg", None])
    assert (paths, reasons) == ([f"{folder}/1.jpg", ""], ["", "no path in the item files"])
    before = hash_images(recipe, pattern)
    with fsspec.open(f"{folder}/notes.txt", "wb") as stream:
        stream.write(b"changed, and longer")
    assert hash_images(recipe, pattern) == before
    with fsspec.open(f"{folder}/1.jpg", "wb") as stream:
        stream.write(b"another picture")
    assert hash_images(recipe, pattern) != before
    with pytest.raises(DataError, match="a folder with files"):
        find_images(recipe, folder + "/none/{item}.jpg", "films", ids, [None] * 4)
