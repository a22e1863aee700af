"""Folders that are written once, with a manifest: what they hold, what they were made from, and by which settings."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import raymm
from raymm.errors import ArtefactError

MANIFEST = "manifest.json"
RUN_KIND, RUN_SCHEMA = "run", 1  # what a training leaves, which verbs write and tracking registers


@dataclasses.dataclass(frozen=True)
class Manifest:
    """What an artefact says of itself.

    Attributes:
        kind: What sort of folder it is (`prepared`, `run`, ...).
        schema: Version of the folder's layout.
        fingerprint: Hash of kind, schema, inputs and settings: two folders with the same one hold the same content,
            however many workers wrote them.
        inputs: Name of each input to its fingerprint.
        settings: The plain settings it was made with.
        facts: Counts and whatever else a reader wants to know before opening the files.
        files: Relative path to SHA-256 of every file but the manifest.
        code_version: raymm's version that wrote it.
        created: Seconds since the epoch.
    """

    kind: str
    schema: int
    fingerprint: str
    inputs: Mapping[str, str]
    settings: Mapping[str, Any]
    facts: Mapping[str, Any]
    files: Mapping[str, str]
    code_version: str
    created: float


def fingerprint(*parts: Any) -> str:
    """Hash plain data (whatever JSON can hold) to 16 hexadecimal digits, independent of the order of keys."""
    text = json.dumps(parts, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


@contextlib.contextmanager
def writing(
    folder: Path,
    kind: str,
    schema: int,
    inputs: Mapping[str, str],
    settings: Mapping[str, Any],
    replace: bool = False,
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Write an artefact: everything appears at once under `folder`, or nothing does.

    Args:
        folder: Where the artefact will stand.
        kind: What sort of folder it is.
        schema: Version of its layout.
        inputs: Name of each input to its fingerprint.
        settings: Plain settings.
        replace: Take the place of an artefact that stands there already.

    Yields:
        The folder to write into, and a dict for the manifest's facts.

    Raises:
        ArtefactError: A file stands at `folder`, or a folder with content that may not be replaced: `replace` is off,
            or raymm did not write it. It may have come there while this one was written.
    """
    if folder.exists() and not folder.is_dir():
        raise ArtefactError("a file", "a new or empty folder", str(folder), "choose another path")
    if folder.exists() and any(folder.iterdir()):
        if not replace:
            raise ArtefactError(
                "a folder with content", "a new or empty folder", str(folder), "choose another, or --force"
            )
        if not (folder / MANIFEST).is_file():
            raise ArtefactError(
                "a folder that raymm did not write", f"a {kind} to replace", str(folder), "choose another"
            )
    draft = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}.partial")
    draft.mkdir(parents=True)
    facts: dict[str, Any] = {}
    try:
        yield draft, facts
        files = {str(path.relative_to(draft)): hash_file(path) for path in sorted(draft.rglob("*")) if path.is_file()}
        mark = fingerprint(kind, schema, dict(inputs), dict(settings))
        manifest = Manifest(kind, schema, mark, inputs, settings, facts, files, raymm.__version__, time.time())
        (draft / MANIFEST).write_text(json.dumps(dataclasses.asdict(manifest), indent=1, sort_keys=True) + "\n")
        if replace and folder.exists():
            shutil.rmtree(folder)
        try:
            os.replace(draft, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise ArtefactError(
                "content that somebody else wrote meanwhile", "a new or empty folder", str(folder), "choose another"
            ) from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def read_manifest(folder: Path, kind: str, schema: int) -> Manifest:
    """Read an artefact's manifest and check that it is of the wanted kind and schema.

    Raises:
        ArtefactError: No manifest, a damaged one, or one of another kind or schema.
    """
    path = folder / MANIFEST
    remedy = f"write a new {kind} folder with this version of raymm ({raymm.__version__})"
    if not path.is_file():
        raise ArtefactError("no manifest", f"a {kind} folder", str(folder), "check the path, or " + remedy)
    try:
        values = json.loads(path.read_text())
        manifest = Manifest(**{field.name: values[field.name] for field in dataclasses.fields(Manifest)})
        if not all(isinstance(values[name], dict) for name in ("inputs", "settings", "facts", "files")):
            raise TypeError("a table is something else")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ArtefactError(f"a damaged manifest ({error})", f"a {kind} folder", str(path), remedy) from error
    if (manifest.kind, manifest.schema) != (kind, schema):
        raise ArtefactError(
            f"{manifest.kind}, schema {manifest.schema} (raymm {manifest.code_version})",
            f"{kind}, schema {schema}",
            str(folder),
            remedy,
        )
    return manifest


def verify(folder: Path, manifest: Manifest) -> None:
    """Compare every file with the manifest.

    Raises:
        ArtefactError: A file is missing or its bytes differ; the first few are named.
    """
    wrong = [
        f"{name}: {'missing' if not (folder / name).is_file() else 'changed since it was written'}"
        for name, digest in manifest.files.items()
        if not (folder / name).is_file() or hash_file(folder / name) != digest
    ]
    if wrong:
        raise ArtefactError(
            "; ".join(wrong[:5]) + (f" and {len(wrong) - 5} more" if len(wrong) > 5 else ""),
            "the files as they were written",
            str(folder),
            f"restore the folder from a copy, or write the {manifest.kind} folder anew",
        )
