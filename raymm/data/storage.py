"""Where sources lie: files of this machine, and objects of stores that a URL names."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedReader
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import urlsplit

import fsspec
from fsspec.core import strip_protocol

from raymm.errors import ConfigError, DataError

# Scheme of a URL to the extra of raymm that brings its store; empty: nothing to install.
STORES = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs", "hdfs": "hdfs", "file": "", "memory": ""}
_SHOWN = 200  # characters of a path in a message
# Libraries of stores whose errors for missing rights and lost connections are no OSError.
_LIBRARIES = frozenset({"botocore", "aiobotocore", "google", "gcsfs", "aiohttp"})
_VERSION_MARKS = ("ETag", "etag", "md5Hash", "generation")  # what stores change whenever the content changes


def is_url(source: str) -> bool:
    """Say whether a source is named by a URL, not by a path of this machine."""
    return "://" in source


def check_url(source: str) -> None:
    """Check a source that a recipe names by URL; anything else passes.

    Credentials have no place in a recipe, which is copied into the manifest: stores find them in their own way
    (environment, credential files, roles of the machine).

    Raises:
        ConfigError: The scheme is unknown, or the URL carries credentials; they are not repeated.
    """
    if not is_url(source):
        return
    scheme, _, rest = source.partition("://")
    if scheme not in STORES:
        known = ", ".join(f"{name}://" for name in STORES)
        raise ConfigError(f"path: found a URL of scheme {scheme[:40]!r}, expected one of {known}")
    if "@" in rest.split("/")[0] or "?" in rest or "#" in rest:
        raise ConfigError(
            "path: found a URL with credentials or a query, expected the plain address; "
            "the store takes credentials from the environment or its own files"
        )


def locate(recipe_path: Path, source: str) -> str:
    """Find a source of the recipe at `recipe_path`: an absolute path (see `source_path`), or the URL as it stands.

    Raises:
        DataError: There is no such file, it is a folder, or a store cannot be reached.
    """
    if not is_url(source):
        return str(source_path(recipe_path, source))
    with reaching(source):
        kind = _store(source).info(source)["type"]
    _check_is_file(kind == "file", kind == "directory", source, recipe_path)
    return source


def source_path(recipe_path: Path, source: str) -> Path:
    """Find a file of this machine that the recipe at `recipe_path` names.

    A relative path belongs to the recipe's folder and must stay in it, `..` and symbolic links followed: a folder
    that was handed on reads nothing else of its new owner's disk. An absolute path is taken as it is written.

    Raises:
        DataError: There is no such file, it is a folder, or a relative path leads out of the recipe's folder.
    """
    root = recipe_path.resolve().parent
    try:
        found = (root / source).resolve()
        is_file, is_folder = found.is_file(), found.is_dir()
    except (OSError, ValueError, RuntimeError) as error:  # too long a name, a zero byte, a circle of links, no right
        shown = source if len(source) <= _SHOWN else source[:_SHOWN] + "..."
        reason = getattr(error, "strerror", None) or str(error)
        raise DataError(f"{shown!r}: {reason}", "a file to read", str(recipe_path), "mend the path") from error
    if not Path(source).is_absolute() and not found.is_relative_to(root):
        raise DataError(
            f"{source!r} leads to {found}",
            f"a file within {root}",
            str(recipe_path),
            "copy the file beside the recipe, or write its absolute path",
        )
    _check_is_file(is_file, is_folder, str(found), recipe_path)
    return found


def open_file(location: str) -> BinaryIO:
    """Open a file or an object for reading bytes; what `locate` returned."""
    if not is_url(location):
        return Path(location).open("rb")
    return cast(BinaryIO, _store(location).open(location, "rb"))


def size_of(location: str) -> int:
    """Return the bytes of a file or an object."""
    return int(_store(location).size(location)) if is_url(location) else Path(location).stat().st_size


def file_name(location: str) -> str:
    """Return the last part of a path or URL."""
    return urlsplit(location).path.rsplit("/", 1)[-1] if is_url(location) else Path(location).name


def list_files(folder: str) -> dict[str, str]:
    """List all objects below a folder of a store: names within it, and what changes with the content of each.

    Where a store keeps no version marks it is size and time of change.

    Raises:
        DataError: The store cannot be reached, or there is nothing below the folder.
    """
    with reaching(folder):
        store = _store(folder)
        found: dict[str, dict[str, Any]] = store.find(folder, detail=True)
        root = str(strip_protocol(folder)).rstrip("/") + "/"
    if not found:
        raise DataError("nothing", "a folder with files", folder, "mend the path in the recipe")
    return {path.removeprefix(root): _mark(info) for path, info in found.items()}


def is_there(location: str) -> bool:
    """Say whether a store holds an object.

    Raises:
        DataError: The store cannot be reached.
    """
    with reaching(location):
        return bool(_store(location).exists(location))


def version_of(location: str) -> str:
    """Return what changes with the content of one object of a store, as in `list_files`.

    Raises:
        DataError: The store cannot be reached, or the object is gone.
    """
    with reaching(location):
        return _mark(_store(location).info(location))


def fetch(location: str, folder: Path) -> Path:
    """Copy an object of a store to a folder of this machine, once for each of its versions.

    Args:
        location: Its URL.
        folder: Made where there is none.

    Returns:
        The copy, named by a hash and by the name of the object.

    Raises:
        DataError: The store cannot be reached, or the object is gone.
    """
    mark = hashlib.sha256(f"{location} {hash_source(location)}".encode()).hexdigest()[:16]
    copy = folder / f"{mark}-{file_name(location)}"
    if not copy.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        draft = copy.with_name(f".{copy.name}.{os.getpid()}")
        with reaching(location), open_file(location) as stream, draft.open("wb") as out:
            shutil.copyfileobj(stream, out, 1 << 20)
        draft.replace(copy)
    return copy


def hash_source(location: str) -> str:
    """Return what changes with the content of a source: its SHA-256, or the version mark that its store keeps.

    Objects of a store are not read a second time where the store says itself which version they are.

    Raises:
        DataError: A store cannot be reached.
    """
    with reaching(location):
        if is_url(location):
            info: dict[str, Any] = _store(location).info(location)
            marks = [f"{name}={info[name]}" for name in _VERSION_MARKS if info.get(name)]
            if marks:
                return hashlib.sha256("\n".join([str(info.get("size")), *marks]).encode()).hexdigest()
        with open_file(location) as stream:
            return hashlib.file_digest(cast(BufferedReader, stream), "sha256").hexdigest()


@contextmanager
def reaching(location: str) -> Iterator[None]:
    """Turn what goes wrong between here and a store into errors that say what to do.

    Raises:
        DataError: The store's library is not installed, or the store refused.
    """
    try:
        yield
    except ImportError as error:
        extra = STORES.get(location.partition("://")[0], "")
        raise DataError(
            f"the library of this store is not installed: {error}",
            "a store that can be opened",
            location,
            f"pip install 'raymm[{extra}]'",
        ) from error
    except FileNotFoundError as error:
        raise DataError("no such file", "a file to read", location, "mend the path in the recipe") from error
    except Exception as error:  # libraries of stores, which are not imported here, have errors of their own
        if not _is_refusal(error):
            raise
        first = str(error).split("\n", 1)[0]
        raise DataError(
            f"{type(error).__name__}: {first}", "a file that can be read", location, "check the address and the rights"
        ) from error


def _is_refusal(error: Exception) -> bool:
    origins = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
    return isinstance(error, OSError) or not origins.isdisjoint(_LIBRARIES)


def _mark(info: dict[str, Any]) -> str:
    names = [*_VERSION_MARKS, "mtime", "LastModified", "modified"]
    return " ".join([str(info.get("size")), *(f"{name}={info[name]}" for name in names if info.get(name))])


def _store(location: str) -> Any:
    scheme = location.partition("://")[0]
    if scheme == "hdfs":
        return fsspec.filesystem("hdfs", **_hadoop(location))
    return fsspec.filesystem(scheme)


def _hadoop(location: str) -> dict[str, Any]:
    parts = urlsplit(location)
    return {"host": parts.hostname or "default", "port": parts.port or 0}


def _check_is_file(is_file: bool, is_folder: bool, where: str, recipe_path: Path) -> None:
    if not is_file:
        what = "a folder" if is_folder else "no such file"
        raise DataError(what, "a file to read", where, f"mend the path in {recipe_path}")
