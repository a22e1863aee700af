"""Paths or URLs of the items' images: a pattern, kept within the folder that it names."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from raymm.artefacts import fingerprint, hash_file
from raymm.data.storage import is_url, list_files
from raymm.errors import DataError


def image_folder(recipe_path: Path, pattern: str) -> Path:
    """Find the folder that holds all images: what a pattern names before its first brace.

    Raises:
        DataError: There is no such folder, or a relative pattern leads out of the recipe's folder.
    """
    root = recipe_path.resolve().parent
    name = pattern.split("{")[0].rpartition("/")[0]
    found = (root / name).resolve()
    if not Path(pattern).is_absolute() and not found.is_relative_to(root):
        remedy = "copy the images beside the recipe, or write their absolute path"
        raise DataError(f"{name!r} leads to {found}", f"a folder within {root}", str(recipe_path), remedy)
    if not found.is_dir():
        raise DataError("no such folder", "a folder of images", str(found), f"mend `images` in {recipe_path}")
    return found


def hash_images(recipe_path: Path, pattern: str) -> str:
    """Hash the names and bytes of all files below the folder of images that end as the pattern does.

    In a store, which is not read for this, version marks take the place of bytes.

    Raises:
        DataError: As `image_folder`, or a store cannot be reached.
    """
    ending = pattern.rpartition("}")[2]
    if is_url(pattern):
        return fingerprint(
            sorted(entry for entry in list_files(_url_folder(pattern)).items() if entry[0].endswith(ending))
        )
    folder = image_folder(recipe_path, pattern)
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(ending) and path.is_file())
    with ThreadPoolExecutor() as pool:  # reading and hashing both leave Python's lock
        digests = list(pool.map(hash_file, files))
    names = [str(path.relative_to(folder)) for path in files]
    return fingerprint(list(zip(names, digests, strict=True)))


def find_images(
    recipe_path: Path, pattern: str, domain: str, item_ids: Sequence[str], columns: Sequence[str | None]
) -> tuple[list[str], list[str]]:
    """Find the image of each item.

    Args:
        recipe_path: The recipe; relative patterns start in its folder.
        pattern: Path with `{item}`, `{domain}` or `{column}` in it.
        domain: What `{domain}` stands for.
        item_ids: I external ids, what `{item}` stands for.
        columns: I values of the column, what `{column}` stands for; None or empty where an item has none.

    Returns:
        I absolute paths or URLs, empty where there is no image; and I reasons, empty where there is one.
    """
    if is_url(pattern):
        return _find_objects(pattern, domain, item_ids, columns)
    root, folder = recipe_path.resolve().parent, image_folder(recipe_path, pattern)
    paths, reasons = [], []
    for item, column in zip(item_ids, columns, strict=True):
        reason = _reason_of_column(column, pattern)
        path = root / pattern.format(item=item, domain=domain, column=column)
        reason = reason or _reason(path, folder)
        paths.append("" if reason else str(path.resolve()))
        reasons.append(reason)
    return paths, reasons


def _find_objects(
    pattern: str, domain: str, item_ids: Sequence[str], columns: Sequence[str | None]
) -> tuple[list[str], list[str]]:
    folder = _url_folder(pattern)
    known = list_files(folder)
    paths, reasons = [], []
    for item, column in zip(item_ids, columns, strict=True):
        url = pattern.format(item=item, domain=domain, column=column)
        reason = _reason_of_column(column, pattern)
        reason = reason or ("" if url.removeprefix(folder + "/") in known else "no such file")
        paths.append("" if reason else url)
        reasons.append(reason)
    return paths, reasons


def _url_folder(pattern: str) -> str:
    return pattern.split("{")[0].rpartition("/")[0]


def _reason_of_column(column: str | None, pattern: str) -> str:
    return "" if column or "{column}" not in pattern else "no path in the item files"


def _reason(path: Path, folder: Path) -> str:
    """Say why there is no image at `path`; empty if there is one. Ids come from outside and may hold anything."""
    try:
        if not path.resolve().is_relative_to(folder):
            return "path leads out of the folder of images"
        return "" if path.is_file() else "no such file"
    except (OSError, ValueError) as error:  # too long a name, a zero byte, a circle of links
        return f"no path: {type(error).__name__}"
