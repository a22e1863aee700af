"""Shards of vectors that a model has made, kept with a checksum until all are there."""

from __future__ import annotations

import hashlib
import io
import os
import uuid
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_DIGEST = hashlib.sha256().digest_size


def write_shard(path: Path, values: np.ndarray, reasons: Sequence[str]) -> None:
    """Write a shard: whole under its name, or not at all.

    Args:
        path: Where it will stand.
        values: (n, F) float32.
        reasons: n strings: why an input has no vector, empty where it has one.
    """
    stream = io.BytesIO()
    np.savez(stream, values=values, reasons=np.array(reasons, dtype=np.str_))
    content = stream.getvalue()
    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with draft.open("wb") as file:
        file.write(hashlib.sha256(content).digest() + content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(draft, path)


def read_shard(path: Path) -> tuple[np.ndarray, list[str]] | None:
    """Read a shard as it was written; None where there is none, or its bytes are not those that were written."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    if len(content) <= _DIGEST or hashlib.sha256(content[_DIGEST:]).digest() != content[:_DIGEST]:
        return None
    with np.load(io.BytesIO(content[_DIGEST:]), allow_pickle=False) as archive:
        return archive["values"], archive["reasons"].tolist()
